"""The command line of the review desk: `console` serves it, `user-add` adds a user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from features.command_line import Commands
from serving.console.auth.users import ROLES, Users, new_user
from serving.ledger.token_key import known_tokens_of
from serving.output import out
from serving.settings import read_settings
from serving.store_config import LedgerConfig

if TYPE_CHECKING:
    from serving.console.desk import DeskLedger

#: The file of the desk's users, below RISKGATE_VAR.
USERS = "users.json"

console_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="The review desk: people decide about flagged payments."
)


@console_app.command("console")
def console(
    port: Annotated[int | None, typer.Option(help="Port; RISKGATE_CONSOLE_PORT if not given.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; RISKGATE_HOST if not given.")] = None,
) -> None:
    """Serve the review desk over the ledger of RISKGATE_VAR until it is stopped."""
    # Only here: every other command starts sooner without the pages of the desk.
    import uvicorn

    from serving.console.app import create_app
    from serving.console.desk import Desk
    from serving.console.pages.catalogues import Catalogues
    from serving.server.bounded_http import BoundedHttp

    settings = read_settings()
    users = Users(settings.var / USERS)
    if not users.all():
        out.print("There are no users yet. Add one: python -m serving user-add NAME")
    desk = Desk(
        ledger_of(settings.ledger),
        settings.var / "desk.sqlite",
        replay_clock=settings.clock == "replay",
        tokens=lambda: known_tokens_of(settings.ledger),
    )
    app = create_app(desk, users, Catalogues(settings.ledger.bundles), settings.hsts_seconds)
    address, listening = host or settings.host, settings.console_port if port is None else port
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    out.print(f"Review desk: http://{address}:{listening}/ (stop with Ctrl-C)")
    # No access log: a path may hold user input, and so a card number.
    uvicorn.run(
        app,
        host=address,
        port=listening,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=BoundedHttp,
        ws="none",
    )


@console_app.command("user-add")
def user_add(
    name: Annotated[str, typer.Argument(help="What to sign in with: small letters, digits, dot, hyphen.")],
    password: Annotated[
        str,
        typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for if not given."),
    ],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "analyst",
    replace: Annotated[bool, typer.Option(help="Give an existing user a new password and role.")] = False,
) -> None:
    """Add a user of the review desk, or give one a new password."""
    Users(read_settings().var / USERS).put(new_user(name, password, role), replace=replace)
    out.print(f"{name} may sign in as {role}.")


def ledger_of(config: LedgerConfig) -> DeskLedger:
    """The cases of this installation, in SQLite or PostgreSQL.

    Raises: CannotStart when PostgreSQL is not what the production profile needs.
    """
    if config.postgres_url:
        # Imported here: the embedded desk needs no driver of a server.
        from serving.cases.postgres import PostgresCases

        return PostgresCases(config)
    from serving.cases.sqlite import SqliteCases

    return SqliteCases(config.sqlite)
