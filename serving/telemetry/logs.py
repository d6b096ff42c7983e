"""Logging: one line per event, as JSON or as text, without personal data of a payment.

The text of an unexpected exception may hold any value, so only its type and its place in the code are logged. The
text is logged for the types that cannot hold a payment's values.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import msgspec

from features.errors import RiskgateError
from serving.errors import LedgerError
from serving.tracing.request_trace import CURRENT

#: Errors whose text has file names, addresses and our own sentences, never a payment's values.
SAFE_ERRORS = (RiskgateError, OSError, LedgerError, MemoryError, ImportError, TimeoutError)
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def set_up(form: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (default: standard error) in one form, `json` or `text`."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in ("httpx", "httpcore", "asyncio", "numba", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Libraries with handlers of their own log through ours.
    for name in ("bentoml", "uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # BentoML's logging configuration disables every logger that existed before it.
    for other in logging.root.manager.loggerDict.values():
        if isinstance(other, logging.Logger):
            other.disabled = False


def safe_text(error: BaseException) -> str:
    """The type of an error, and its text if that cannot hold a payment's values.

    >>> safe_text(KeyError("u-1042")), safe_text(FileNotFoundError(2, "gone", "model.txt"))
    ('KeyError', "FileNotFoundError: [Errno 2] gone: 'model.txt'")
    """
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, SAFE_ERRORS) else name


def places(trace: TracebackType | None) -> list[str]:
    """The frames of a traceback, innermost last: `file:line function`, without values."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the request's id and trace, the `extra` of the call."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        return json_line(record.created, record.levelname, record.name, record.getMessage(), _extra(record))


class TextLines(logging.Formatter):
    """The same fields as readable text."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, the frames of an error indented below it."""
        extra = _extra(record)
        where = extra.pop("places", [])
        line = text_line(record.created, record.levelname, record.name, record.getMessage(), extra)
        return "\n".join([line, *(f"    {place}" for place in where)])


def json_line(created: float, level: str, logger: str, message: str, extra: dict[str, Any]) -> str:
    """One event as a JSON object; `created` is seconds since 1970, UTC."""
    moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row = {"time": moment, "level": level.lower(), "logger": logger, "message": message, **extra}
    return msgspec.json.encode(row, enc_hook=str).decode()


def text_line(created: float, level: str, logger: str, message: str, extra: dict[str, Any]) -> str:
    """One event as text."""
    moment = datetime.fromtimestamp(created, UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
    tail = "".join(f" {name}={value}" for name, value in extra.items())
    return f"{moment} {level} {logger}: {message}{tail}"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    request = CURRENT.get()
    extra: dict[str, Any] = {} if request is None else dict(request.fields())
    extra |= {name: value for name, value in vars(record).items() if name not in _OWN}
    info: ExcInfo | None = record.exc_info
    if info is not None and info[1] is not None:
        extra["error"] = safe_text(info[1])
        extra["places"] = places(info[2])
    return extra
