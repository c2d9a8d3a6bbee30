"""The process in which CEL runs: it holds nothing but expressions and facts, and is ended when one takes too long.

Reads one JSON object a line from standard input and answers with one a line:

    {"declare": {variable: type}, "expr": text, "data": {variable: value} or null}
    {"kind": "compiled"} | {"kind": "value", "value": bool} | {"kind": "error" | "invalid", "message": text}

Imports nothing of the platform, so that a start takes a tenth of a second.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Any

from cel_expr_python import cel

_MEMORY = 1 << 30
_TYPES: dict[str, Any] = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "list<string>": cel.Type.List(cel.Type.STRING),
}
_KEPT = 500

Compiled = dict[tuple[str, str], Any]


def main(cpu_seconds: float) -> None:
    """Answer requests until standard input ends. One that needs more processor time than allowed ends the process."""
    _confine()
    compiled: Compiled = {}
    _say({"kind": "ready"})
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        answer = _answer(json.loads(line), compiled)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answer)


def _confine() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the kernel ends the process, even inside the engine's own code
    for limit, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
    ):
        resource.setrlimit(limit, (most, most))


def _answer(request: dict[str, Any], compiled: Compiled) -> dict[str, Any]:
    try:
        expression = _compile(request["declare"], request["expr"], compiled)
    except RuntimeError as error:
        return {"kind": "invalid", "message": str(error)}
    if expression.return_type() != cel.Type.BOOL:
        return {"kind": "invalid", "message": f"the result is a {expression.return_type().name()}, not a bool"}
    if request["data"] is None:
        return {"kind": "compiled"}
    return _evaluate(expression, request["data"])


def _compile(declare: dict[str, str], expr: str, compiled: Compiled) -> Any:
    key = (json.dumps(declare, sort_keys=True), expr)
    if key not in compiled:
        if len(compiled) >= _KEPT:
            compiled.clear()
        compiled[key] = cel.NewEnv(variables={name: _TYPES[kind] for name, kind in declare.items()}).compile(expr)
    return compiled[key]


def _evaluate(expression: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The value, only where its type is exactly BOOL: an error is a value too, and a truthy one."""
    try:
        result = expression.eval(data=data)
    except RuntimeError as error:
        return {"kind": "error", "message": str(error)}
    value = result.value()
    if result.type() != cel.Type.BOOL or not isinstance(value, bool):
        return {"kind": "error", "message": str(value)}
    return {"kind": "value", "value": value}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
