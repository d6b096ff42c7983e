"""The OpenAPI document as one HTML page: no script, no external resources."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from features.domain.payment_fields import EXAMPLE

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2530;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-top:1px solid #d5dbe3;padding-top:1.2rem}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:#f3f5f8;padding:.8rem;overflow-x:auto;border-radius:6px}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}
td,th{text-align:left;padding:.25rem .8rem .25rem 0;vertical-align:top}
th{font-weight:600;border-bottom:1px solid #d5dbe3}.verb{color:#0b5cad;font-weight:700}a{color:#0b5cad}
"""


def render(document: dict[str, Any], server: tuple[str, int | None] | None = None) -> str:
    """The whole page; `server` is the address and port that the request reached."""
    paths = "".join(
        _operation(path, verb, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    info = document["info"]
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(info['title'])}: the HTTP contract"
        f"</title><meta name=viewport content='width=device-width,initial-scale=1'><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(info['title'])}: the HTTP contract</h1><p>{_text(info['description'])}</p>"
        "<p>As a document for tools: <a href=/openapi.json>/openapi.json</a>. Callers send "
        "<code>Authorization: Bearer &lt;key&gt;</code> unless the service runs without a key.</p>"
        f"<pre>{escape(_curl(server))}</pre>{paths}<h1>Shapes</h1>{schemas}</main></body></html>"
    )


def _curl(server: tuple[str, int | None] | None) -> str:
    """A line for a shell that works as it stands: the shell fills in the time, which the clock's window checks."""
    host, port = server or ("127.0.0.1", None)
    address = f"[{host}]" if ":" in host else host
    fields = {"transaction_id": "d-'$(date +%s)'", "event_time": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'"}
    body = json.dumps(EXAMPLE | fields)
    return f"curl -s http://{address}:{port or 3000}/v1/score -H 'content-type: application/json' -d '{body}'"


def _text(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _operation(path: str, verb: str, operation: dict[str, Any]) -> str:
    rows = ""
    for parameter in operation.get("parameters", ()):
        name, description = escape(parameter["name"]), _text(parameter.get("description", ""))
        rows += f"<tr><td><code>{name}</code> ({parameter['in']})<td>{description}"
    body = operation.get("requestBody")
    if body is not None:
        rows += f"<tr><td>body<td>{_kind(body['content']['application/json']['schema'])}"
    for status, reply in operation["responses"].items():
        kinds = ", ".join(_kind(content["schema"]) for content in reply.get("content", {}).values())
        rows += f"<tr><td>{status}<td>{_text(reply['description'])} {kinds}"
    return (
        f"<h2><span class=verb>{verb.upper()}</span> <code>{escape(path)}</code></h2>"
        f"<p>{_text(operation['summary'])}{_scope(operation)}</p><table>{rows}</table>"
    )


def _scope(operation: dict[str, Any]) -> str:
    """The scope that a key needs for the operation; empty if none."""
    scopes = [scope for way in operation.get("security", ()) for scope in way.get("key", ())]
    return f" Scope: <code>{escape(scopes[0])}</code>." if scopes else ""


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{_kind(kind)}<td>{'required' if field in required else ''}"
        f"<td>{_text(kind.get('description', ''))}"
        for field, kind in schema["properties"].items()
    )
    return f"<h2 id={escape(name)}>{escape(name)}</h2><table><tr><th>field<th>type<th><th>meaning</tr>{rows}</table>"


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(word)}</code>" for word in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    words = " or ".join(kind) if isinstance(kind, list) else kind
    limits = [
        f"{name} {schema[name]}" for name in ("minimum", "maximum", "maxLength", "format", "pattern") if name in schema
    ]
    return escape(", ".join([words, *limits]))
