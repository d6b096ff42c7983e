"""The commands of API keys: `key-add`, `key-list`, `key-revoke`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from serving.access.api_keys import SCOPES, KeyFile, new_key
from serving.errors import CannotStart
from serving.output import out, print_table
from serving.settings import read_settings

key_app = typer.Typer(no_args_is_help=True, help="API keys: add, list, revoke.")


@key_app.command("key-add")
def key_add(
    name: Annotated[str, typer.Argument(help="The key's id: small letters, digits, hyphens.")],
    scope: Annotated[list[str], typer.Option(help=f"One of {', '.join(SCOPES)}; may be given several times.")],
    rate: Annotated[int | None, typer.Option(help="Requests a second; RISKGATE_RATE_PER_SECOND if not given.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; without: never.")] = None,
    note: Annotated[str, typer.Option(help="Whose key it is.")] = "",
) -> None:
    """Add an API key; its secret is shown once, on standard output, and not stored."""
    key, token = new_key(name, scope, datetime.now(UTC), rate=rate, days=days, note=note)
    _file().add(key)
    out.print(f"The key `{name}` opens {', '.join(key.scopes)}. This is shown once; send it as a bearer token:")
    typer.echo(token)


@key_app.command("key-list")
def key_list() -> None:
    """List the API keys: never their secrets."""
    keys = _file().read()
    now = datetime.now(UTC)
    table = Table("id", "scopes", "rate", "created", "expires", "state", "note", box=None)
    for key in keys.values():
        state = "revoked" if key.revoked else "expired" if key.is_over(now) else "open"
        expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d}"
        rate = "default" if key.rate is None else f"{key.rate}/s"
        table.add_row(key.id, " ".join(key.scopes), rate, f"{key.created:%Y-%m-%d}", expires, state, key.note)
    print_table(table)


@key_app.command("key-revoke")
def key_revoke(name: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key; a running service notices within a second."""
    _file().revoke(name, datetime.now(UTC))
    out.print(f"The key `{name}` is revoked.")


def _file() -> KeyFile:
    settings = read_settings()
    if not settings.keys:
        raise CannotStart("RISKGATE_KEYS is not set.", "Set it to the path of the key file, e.g. var/keys.json.")
    return KeyFile(Path(settings.keys))
