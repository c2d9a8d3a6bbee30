"""``imprimatur model register|list|show|verify|export|submit``."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from imprimatur.core import strict_yaml
from imprimatur.core.client import Client
from imprimatur.core.digests import digest_of_file, short
from imprimatur.core.errors import BadInput, Fault, Refused, Tampered
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table
from imprimatur.registry import environment
from imprimatur.registry.model import Lineage
from imprimatur.registry.provenance import BUNDLE_TYPE, require_signed
from imprimatur.storage.model import SealedFile
from imprimatur.storage.service import SealedStore

app = typer.Typer(name="model", help="Models and their versions.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Label = Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="A version, e.g. digits/2.")]
_RUN = re.compile(r"(?:runs:/)?([0-9a-f]{32})(/.+)?")


@app.command()
def register(
    what: Annotated[str, typer.Argument(metavar="PATH|RUN", help="Folder of a saved pipeline, or runs:/RUN/NAME.")],
    name: Annotated[str, typer.Option(help="Model that gets the new version.")],
    experiment: Annotated[str, typer.Option(help="MLflow experiment for a folder's run.")] = "imported",
    as_json: AsJson = False,
) -> None:
    """Register a saved pipeline, or a run's model, as a new version, and seal it."""
    settings = Settings()
    client = Client.from_settings(settings)
    environment.configure_client(client.address, settings.token)
    folder = Path(what)
    version = _log_folder(folder, name, experiment) if folder.is_dir() else _register_run(what, name)
    sealed = client.post(f"/models/{name}/versions/{version}/seal")
    if as_json:
        print_json(sealed)
    else:
        out.print(f"{name}/{version} is sealed as {short(sealed['manifest_digest'])}", highlight=False)
        _print_missing(sealed)


@app.command(name="list")
def list_(
    model: Annotated[str, typer.Argument(help="List this model's versions.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many versions.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the models, or the newest versions of one."""
    client = Client.from_settings(Settings())
    if not model:
        listed = client.get("/models")
        print_json(listed) if as_json else print_table("Models", ("name",), [(name,) for name in listed["models"]])
        return
    listed = client.get(f"/models/{model}/versions", limit=limit)
    if as_json:
        print_json(listed)
        return
    columns = ("version", "sealed as", "registered by", "team", "registered at")
    print_table(f"Versions of {model}", columns, [_line(version) for version in listed["versions"]])


@app.command()
def show(label: Label, as_json: AsJson = False) -> None:
    """Show a version: where it comes from, what it was submitted for."""
    client = Client.from_settings(Settings())
    found = client.get(_path(label))
    if as_json:
        print_json(found)
        return
    lineage, submission = found["lineage"], found["submission"]
    rows = [
        ("sealed as", found["manifest_digest"] or "not sealed"),
        ("registered", f"{found['registered_at']} by {found['registered_by']} ({found['team']})"),
        ("training run", found["run_id"] or "unknown"),
        ("code commit", lineage["code_commit"] or "unknown"),
        ("datasets", "\n".join(f"{d['name']} ({d['licence']})" for d in lineage["datasets"]) or "unknown"),
        ("submitted for", submission["use"]["purpose"] if submission else "nothing yet"),
    ]
    if found["imported"]:
        rows.append(("imported", _origin(found["imported"])))
    print_table(label, ("", ""), rows)
    _print_missing(found)


@app.command()
def verify(
    label: Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="A version, e.g. digits/2.")] = "",
    layout: Annotated[Path | None, typer.Option(help="An exported version, in place of a server's.")] = None,
    key: Annotated[Path | None, typer.Option(help="With --layout: the public key that signed the model.")] = None,
    root: Annotated[Path | None, typer.Option(help="With --layout, for a certified key: the root certificate.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read every sealed file of a version; ends with status 1 and names each that is not what was sealed."""
    if layout is not None:
        _verify_layout(layout, root or key, certified=root is not None, as_json=as_json)
        return
    found = Client.from_settings(Settings()).get(f"{_path(label)}/verify")
    if as_json:
        print_json(found)
    elif not found["differing"]:
        out.print(f"{label}: all {found['files']} files are what was sealed", highlight=False)
    else:
        print_table(f"{label}: not what was sealed", ("file",), [(path,) for path in found["differing"]])
    if found["differing"]:
        raise typer.Exit(Refused.exit_status)


def _verify_layout(layout: Path, key: Path | None, *, certified: bool, as_json: bool) -> None:
    exported = SealedStore(layout, read_only=True)
    if len(digests := exported.manifests()) != 1:
        raise BadInput("no-export", f"{layout.name!r} holds {len(digests)} models (expected an export of one)")
    manifest = exported.manifest(digests[0])
    differing = exported.verify(manifest.digest)
    if not differing and key is not None:
        require_signed(manifest, exported.attached(manifest.digest, BUNDLE_TYPE), key, certified=certified)
    if as_json:
        signed = None if key is None else not differing
        found = {"manifest": manifest.digest, "files": len(manifest.files), "differing": differing, "signed": signed}
        print_json(found)
    elif differing:
        print_table(f"{layout}: not what was sealed", ("file",), [(path,) for path in differing])
    else:
        by = f", and {key.name} signed them" if key else "; give --key or --root to check who signed them"
        out.print(f"{len(manifest.files)} files are what {manifest.digest} says{by}", highlight=False, soft_wrap=True)
    if differing:
        raise typer.Exit(Refused.exit_status)


@app.command()
def export(
    label: Label,
    to: Annotated[Path, typer.Option(help="New folder for the OCI image layout.", file_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Copy a sealed version out as an OCI image layout, verifying every file."""
    client = Client.from_settings(Settings())
    manifest = client.get(f"{_path(label)}/manifest")
    if to.exists() and any(to.iterdir()):
        raise BadInput("folder-not-empty", f"{to} has files in it (expected a new or empty folder)")
    digest = _receive(client, label, manifest, to)
    if as_json:
        print_json({"manifest": digest, "folder": str(to), "files": len(manifest["files"])})
    else:
        out.print(f"{label}: {len(manifest['files'])} files in {to}, manifest {short(digest)}", highlight=False)


@app.command()
def submit(
    label: Label,
    use: Annotated[Path, typer.Option(help="YAML file that declares the use.", dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Put a sealed version forward for a use: purpose, prohibited, audience, region, tier, owner, review_by."""
    try:
        text = use.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("no-such-file", f"{use} can't be read as text: {error}") from error
    document = strict_yaml.load(text, "bad-use")
    if not isinstance(document, dict):
        raise BadInput("bad-use", f"{use} holds {type(document).__name__} (expected a mapping of the use's parts)")
    made = Client.from_settings(Settings()).post(f"{_path(label)}/submissions", document)
    if as_json:
        print_json(made)
    else:
        out.print(f"{label} is submitted for: {made['use']['purpose']}", highlight=False)


def _log_folder(folder: Path, name: str, experiment: str) -> int:
    import mlflow

    from imprimatur.registry.flavor import lineage_of, log_folder

    known = Lineage.parse(lineage_of(folder))
    mlflow.set_experiment(experiment)
    with mlflow.start_run():
        info = log_folder(folder, name="pipeline", registered_model_name=name, lineage=known)
    if info.registered_model_version is None:
        raise Fault("not-registered", f"MLflow logged {folder} without registering it; see the server's log")
    return int(info.registered_model_version)


def _register_run(what: str, name: str) -> int:
    found = _RUN.fullmatch(what)
    if found is None:
        raise BadInput("no-such-folder", f"{what!r} is no folder and no run (expected a path, or runs:/RUN/NAME)")
    import mlflow

    uri = f"runs:/{found[1]}{found[2] or '/pipeline'}"
    return int(mlflow.register_model(uri, name).version)


def _receive(client: Client, label: str, manifest: dict[str, Any], to: Path) -> str:
    store = SealedStore(to)
    files = tuple(SealedFile(**file) for file in manifest["files"])
    with tempfile.TemporaryDirectory(dir=to) as scratch:
        for number, file in enumerate(files):
            received = Path(scratch) / str(number)
            client.save(f"{_path(label)}/blobs/{file.digest}", received)
            if digest_of_file(received) != file.digest:
                raise Tampered("file-changed", f"{file.path!r} is not what was sealed (expected {file.digest})")
            store.put_blob_file(received)
            received.unlink()
    entered = store.enter(manifest["artifact_type"], files, tag=f"v{label.rpartition('/')[2]}")
    if entered.digest != manifest["digest"]:
        raise Tampered("bad-manifest", f"The files make up {entered.digest} (expected {manifest['digest']})")
    for signature in client.get(f"{_path(label)}/signatures")["signatures"]:
        store.attach(entered.digest, BUNDLE_TYPE, json.dumps(signature).encode())
    store.tidy()
    return entered.digest


def _path(label: str) -> str:
    model, _, version = label.rpartition("/")
    if not model or not version.isdecimal() or "/" in model:
        raise BadInput("bad-version", f"{label!r} names no version (expected MODEL/VERSION, e.g. digits/2)")
    return f"/models/{model}/versions/{version}"


def _line(version: dict[str, Any]) -> tuple[str, ...]:
    sealed = version["manifest_digest"]
    return (
        str(version["version"]),
        short(sealed) if sealed else "not sealed",
        version["registered_by"],
        version["team"],
        version["registered_at"],
    )


def _origin(imported: dict[str, Any]) -> str:
    held = [f"alias {alias}" for alias in imported["aliases"]]
    held += [f"stage {imported['stage']}"] if imported["stage"] not in ("", "None") else []
    past = f"{imported['mark']} ({', '.join(held)})" if held else imported["mark"]
    return f"{past}\nas {imported['model']}/{imported['version']} of {imported['source']}, by {imported['imported_by']}"


def _print_missing(version: dict[str, Any]) -> None:
    missing = version["lineage"]["missing"]
    if missing:
        out.print(f"Nobody wrote down: {', '.join(missing)}", highlight=False)
