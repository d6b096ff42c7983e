"""The command line of the scoring service: `python -m serving --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from features.command_line import Commands
from features.progress import waiting
from serving.errors import CannotStart
from serving.output import out, write_report
from serving.settings import Settings, log_form, read_settings, use_own_model_store
from serving.telemetry.logs import set_up

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Serve payment-fraud decisions, and prove each of them again."
)


@app.command()
def run(
    port: Annotated[int | None, typer.Option(help="Port; RISKGATE_PORT if not given.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; RISKGATE_HOST if not given.")] = None,
    share_port: Annotated[
        bool, typer.Option("--share-port", help="Share the port with other processes (production).")
    ] = False,
    own_port: Annotated[int | None, typer.Option(help="Answer also on this port of loopback, unshared.")] = None,
) -> None:
    """Serve the API with the bundle of RISKGATE_BUNDLE until stopped (Ctrl-C writes a snapshot)."""
    from serving.serve import serve

    raise typer.Exit(serve(_with(read_settings(), port, host), share_port=share_port, own_port=own_port))


@app.command()
def verify(
    first_differences: Annotated[int, typer.Option(help="How many differences to show.")] = 5,
    report: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
    explained: Annotated[
        list[int] | None, typer.Option(help="Sequence number of an event that is set aside for a known reason.")
    ] = None,
) -> None:
    """Recompute every decision of the ledger from its events and compare bit for bit."""
    from serving.audit.verify import progress_of, verify_ledger
    from serving.ledger.head import COMMAND

    settings = read_settings()
    with progress_of(settings.ledger) as progress:
        result = verify_ledger(settings.ledger, first_differences, progress)
    if report is not None:
        write_report(report, result.figures())
    for difference in result.differences:
        out.print(difference, style="red")
    for aside in result.set_aside.named():
        out.print(aside.sentence(), style="yellow", markup=False)
    for sentence in result.missing:
        out.print(f"{sentence} Restore what is missing from a backup, or accept it: {COMMAND}.", style="red")
    out.print(result.sentence())
    if result.mismatches or result.missing or result.unexplained(explained or ()):
        raise typer.Exit(1)


@app.command("accept-ledger")
def accept_ledger() -> None:
    """Accept that events of the ledger are missing, after a look: /readyz and verify then pass over them."""
    from serving.ledger.completeness import accept_missing

    found = accept_missing(read_settings().ledger)
    for sentence in found:
        out.print(sentence, style="yellow", markup=False)
    out.print(f"Accepted: {len(found)}." if found else "Nothing is missing: there is nothing to accept.")


@app.command("import-history")
def import_history(
    history: Annotated[Path, typer.Argument(help="Parquet in the normalised schema (features/history/schema.py).")],
    until_ms: Annotated[
        int | None, typer.Option(help="Leave out outcomes and labels from this time on (ms UTC); default: the end.")
    ] = None,
) -> None:
    """Import past payments into an empty ledger as one event."""
    with waiting(out, "checking and storing the history"):
        settings = read_settings()
        if settings.production:  # imported here: the embedded profile needs no driver of a server
            from serving.recorder import import_history as to_postgres

            event = to_postgres.append_history(settings.ledger, settings.redis, history, until_ms)
        else:
            from serving.audit import import_history as to_sqlite

            event = to_sqlite.append_history(settings.ledger, history, until_ms)
    out.print(f"{event.rows:,} payments were imported as segment {event.sha256[:12]}.")
    if settings.production:
        out.print("Build their state in Redis before workers start: python -m serving rebuild-state")


@app.command("export-history")
def export_history(
    target: Annotated[Path, typer.Argument(help="Parquet to write, in the normalised schema.")],
) -> None:
    """Write every payment with its outcome and label, verdicts included, for the next training run."""
    from serving.audit.export_history import export

    with waiting(out, "exporting the history"):
        rows = export(read_settings().ledger, target)
    out.print(f"{rows:,} payments were written to {target}.")


@app.command("export-vectors")
def export_vectors(target: Annotated[Path, typer.Argument(help="Parquet to write.")]) -> None:
    """Write every feature vector and score as served, for comparison with a replay."""
    from serving.audit.export_vectors import export_vectors

    with waiting(out, "exporting vectors and scores"):
        rows = export_vectors(read_settings().ledger, target)
    out.print(f"{rows:,} vectors were written to {target}.")


@app.command()
def snapshot() -> None:
    """Fold the ledger of a stopped service and write its state, so that the next start is quick."""
    from serving.audit.import_history import write_snapshot

    with waiting(out, "folding the ledger"):
        path = write_snapshot(read_settings().ledger)
    out.print(f"The state was written to {path}.")


@app.command("hash-id")
def hash_id(
    kind: Annotated[str, typer.Argument(help="instrument or ip")],
    identifier: Annotated[str, typer.Argument(help="The clear identifier.")],
) -> None:
    """Show the pseudonym of an instrument or IP address, for a list or a search."""
    from features.intake.pseudonyms import PREFIXES
    from serving.ledger.hash_key import pseudonyms_of

    names = pseudonyms_of(read_settings().hash_key)
    if names is None:
        raise CannotStart("RISKGATE_HASH_KEY is not set: identifiers are stored in clear.", "Set it first.")
    if kind not in PREFIXES:
        raise CannotStart(f"Identifiers of kind `{kind}` are not hashed.", "Pass instrument or ip.")
    typer.echo(names.of(kind, identifier))


def _with(settings: Settings, port: int | None, host: str | None) -> Settings:
    return msgspec.structs.replace(
        settings, port=settings.port if port is None else port, host=settings.host if host is None else host
    )


def _add_commands() -> None:
    from serving.cli.challenger import challenger_app
    from serving.cli.keys import key_app
    from serving.cli.lists import list_app
    from serving.cli.production import production_app
    from serving.console.command import console_app

    # Registered without a group, so that they are called like `python -m serving console`.
    for other in (challenger_app, console_app, key_app, production_app):
        app.registered_commands.extend(other.registered_commands)
    app.add_typer(list_app, name="list")


def main() -> None:
    """Run the command line."""
    set_up(log_form())
    use_own_model_store()
    _add_commands()
    app()


if __name__ == "__main__":
    main()
