"""Every code that a reply may carry, found in the source: of errors with their status, and of warnings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from features.errors import Malformed
from serving import errors
from serving.server import bounded_http
from serving.state.foldable import CannotFold
from tests.house.documents import ROOT

WARNING = "warning"
#: Where a call has its code, and what a reply with it is: a problem of a 422, or a warning.
_CALLS = {
    "Problem": (0, "422"),
    "Unfit": (0, "422"),
    "_refused": (0, "422"),
    "refuse": (1, "422"),
    "warn": (1, WARNING),
    "FieldWarning": (1, WARNING),
}
_CODE = re.compile(r"[a-z]+(_[a-z0-9]+)*")
#: What no caller over HTTP sees.
_ELSEWHERE = ("console", "cli", "audit")


def codes_of_source() -> dict[str, set[str]]:
    """By code: the statuses of replies with it, and `warning`."""
    found: dict[str, set[str]] = {
        "internal": {"500"},
        Malformed.code: {"400"},
        CannotFold.code: {str(CannotFold.status)},
    }
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.ServiceError) and kind is not errors.ServiceError:
            found.setdefault(kind.code, set()).add(str(kind.status))
    for fault in vars(bounded_http).values():
        if isinstance(fault, bounded_http.Fault):
            found.setdefault(fault.code, set()).add(str(fault.status))
    for package in ("features", "serving"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.relative_to(ROOT / package).parts[0] not in _ELSEWHERE:
                for code, status in codes_in(path):
                    found.setdefault(code, set()).add(status)
    return found


def codes_in(path: Path) -> Iterator[tuple[str, str]]:
    """(code, status) of every call in a file that makes a problem or a warning."""
    tree = ast.parse(path.read_text())
    for function in (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)):
        for call in (one for one in ast.walk(function) if isinstance(one, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in _CALLS:
                place, status = _CALLS[name]
                yield from ((code, status) for code in _texts(call.args[place], function))
        for back in (one.value for one in ast.walk(function) if isinstance(one, ast.Return)):
            # what `Problem(*found, ...)` gets: a code and its message
            if (
                isinstance(back, ast.Tuple)
                and len(back.elts) == 2
                and _is_code(back.elts[0])
                and _is_text(back.elts[1])
            ):
                yield from ((code, "422") for code in _texts(back.elts[0], function))


def _texts(node: ast.expr, function: ast.AST) -> set[str]:
    """The codes that an argument may be: a literal, one of two, or a name that is given one in the same function."""
    if isinstance(node, ast.Constant):
        return {str(node.value)} if _is_code(node) else set()
    if isinstance(node, ast.IfExp):
        return _texts(node.body, function) | _texts(node.orelse, function)
    if isinstance(node, ast.Tuple):
        return _texts(node.elts[0], function)
    if not isinstance(node, ast.Name):
        return set()
    found: set[str] = set()
    for one in ast.walk(function):
        if isinstance(one, ast.Assign):
            target = one.targets[0]
            first = target.elts[0] if isinstance(target, ast.Tuple) else target
            if isinstance(first, ast.Name) and first.id == node.id:
                value = one.value
                parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
                found |= {code for part in parts for code in _texts(part, ast.Module([], []))}
    return found


def _is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value) is not None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
