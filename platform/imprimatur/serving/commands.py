"""``imprimatur gateway``: serve released models."""

from __future__ import annotations

import typer

from imprimatur.core import garbage
from imprimatur.core.settings import Settings

app = typer.Typer(add_completion=False)


@app.command("gateway")
def gateway() -> None:
    """Serve released models in OpenAI's Images API until interrupted."""
    import uvicorn  # with the web framework: only where something is served

    from imprimatur.serving.gateway import build_gateway
    from imprimatur.serving.logs import configure_logs

    settings = Settings()
    configure_logs()
    served = build_gateway(settings)
    garbage.settle()
    uvicorn.run(
        served,
        host=settings.host,
        port=settings.gateway_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
