"""The OpenAPI document as a page: Swagger UI, from the files that the pinned BentoML brings; nothing else is loaded."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import jinja2

from features.domain.payment_fields import EXAMPLE

_OWN = Path(__file__).parent / "docs"
_SWAGGER_UI = "_internal/server/static_content"
_TYPES = {".css": b"text/css; charset=utf-8", ".js": b"text/javascript; charset=utf-8"}
#: The files that the page loads, below /docs/.
FILES = ("swagger-ui.css", "page.css", "swagger-ui-bundle.js", "page.js")

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_OWN), autoescape=True, undefined=jinja2.StrictUndefined
)


def render(server: tuple[str, int | None] | None = None) -> str:
    """The whole page; `server` is the address and port that the request reached."""
    return _environment.get_template("page.html").render(curl=_curl(server))


@cache
def file(name: str) -> tuple[bytes, bytes]:
    """(content, content type) of one of `FILES`."""
    path = (swagger_ui() if name.startswith("swagger-ui") else _OWN) / name
    return path.read_bytes(), _TYPES[path.suffix]


def swagger_ui() -> Path:
    """The folder of Swagger UI in BentoML's package, which is not imported."""
    bentoml = find_spec("bentoml")
    assert bentoml is not None and bentoml.origin is not None
    return Path(bentoml.origin).parent / _SWAGGER_UI


def _curl(server: tuple[str, int | None] | None) -> str:
    """A line for a shell that works as it stands: the shell fills in the time, which the clock's window checks."""
    host, port = server or ("127.0.0.1", None)
    address = f"[{host}]" if ":" in host else host
    fields = {"transaction_id": "d-'$(date +%s)'", "event_time": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'"}
    body = json.dumps(EXAMPLE | fields)
    return f"curl -s http://{address}:{port or 3000}/v1/score -H 'content-type: application/json' -d '{body}'"
