"""The commands of the production profile: `recorder`, `up`, `migrate` and `rebuild-state`."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import TYPE_CHECKING, Annotated
from wsgiref.simple_server import WSGIServer

import typer
from prometheus_client import start_http_server

from serving.engine.gc_tuning import freeze_gc
from serving.errors import CannotStart
from serving.output import out
from serving.settings import Settings, environment_of, read_settings
from serving.state.set_aside import SetAside

if TYPE_CHECKING:
    from serving.recorder.metrics import RecorderMetrics
    from serving.recorder.recorder import Recorder

log = logging.getLogger("riskgate")

production_app = typer.Typer(no_args_is_help=True, help="The production profile: Redis and PostgreSQL.")


@production_app.command()
def recorder() -> None:
    """Move the stream from Redis into PostgreSQL until stopped; of several recorders one is active."""
    from serving.ledger.postgres import schema
    from serving.recorder.healing import StateHealer
    from serving.recorder.labelling import VerdictLabeller
    from serving.recorder.list_trim import ListTrimmer
    from serving.recorder.metrics import RecorderMetrics
    from serving.recorder.recorder import Recorder
    from serving.redis_store.server_checks import check_postgres, check_redis

    settings = production_settings()
    for sentence in (*check_redis(settings.redis_url), *check_postgres(settings.postgres_url)):
        log.warning("%s", sentence)
    schema.prepare(settings.postgres_url, settings.redis_prefix)
    metrics = RecorderMetrics()
    labeller = VerdictLabeller(settings.ledger, settings.redis, settings.clock)
    healer = StateHealer(settings.ledger, settings.redis)
    one = Recorder(settings.ledger, settings.redis, metrics, (labeller, ListTrimmer(settings.redis), healer))
    _stop_on_signal(one)
    server = _serve_metrics(settings.recorder_port, metrics)
    freeze_gc()
    one.run()
    if server is not None:
        server.shutdown()
    log.info("the recorder has stopped gracefully")


@production_app.command()
def up(
    exit_when_ready: Annotated[bool, typer.Option("--exit-when-ready", help="End as soon as all are ready.")] = False,
) -> None:
    """Check both servers, then run recorder, scoring processes and review desk until Ctrl-C."""
    from serving.processes.up import bring_up

    settings = production_settings()
    raise typer.Exit(bring_up(settings, environment_of(settings), out.print, until_ready=exit_when_ready))


@production_app.command()
def migrate() -> None:
    """Create the tables of the ledger in PostgreSQL, or migrate older ones."""
    from serving.ledger.postgres import schema
    from serving.ledger.postgres.session import place_of

    settings = production_settings()
    version = schema.prepare(settings.postgres_url, settings.redis_prefix)
    out.print(f"{place_of(settings.postgres_url)} has schema version {version}.")


@production_app.command("rebuild-state")
def rebuild_state(
    check: Annotated[bool, typer.Option("--check", help="Only compare what Redis holds, and change nothing.")] = False,
) -> None:
    """Rebuild the state in Redis from the ledger; workers decide by amount until it is done."""
    from serving.engine.clustered.rebuild import compare, rebuild
    from serving.ledger.postgres.ledger import PostgresLedger
    from serving.model.model_store import bundle_folder
    from serving.state import startup

    settings = production_settings()
    opened = startup.open_bundle(bundle_folder(settings.bundle, settings.var), settings.ledger)
    work = (settings.redis, PostgresLedger(settings.ledger, "riskgate-rebuild"), settings.ledger.segments)
    if not check:
        rebuilt = rebuild(*work, opened.catalogue)
        _print_set_aside(rebuilt.set_aside)
        out.print(
            f"{rebuilt.entities:,} entities have their state again ({rebuilt.string_bytes:,} bytes), "
            f"{rebuilt.payments:,} payments their answers."
        )
        return
    found = compare(*work, opened.catalogue)
    _print_set_aside(found.set_aside)
    for sentence in found.sentences:
        out.print(sentence, style="red")
    out.print(f"{found.entities:,} entities compared with the ledger, {found.differing:,} differ.")
    if found.differing:
        raise typer.Exit(1)


def _print_set_aside(aside: SetAside) -> None:
    for one in aside.named():
        out.print(one.sentence(), style="yellow", markup=False)


def production_settings() -> Settings:
    """The settings of the production profile.

    Raises: CannotStart for those of the embedded profile.
    """
    settings = read_settings()
    if not settings.production:
        raise CannotStart(
            "RISKGATE_REDIS_URL and RISKGATE_POSTGRES_URL are not set: this is the embedded profile.",
            "Set both, for example to redis://127.0.0.1:6379/0 and postgresql://postgres@127.0.0.1/riskgate.",
        )
    return settings


def _stop_on_signal(one: Recorder) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        one.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _serve_metrics(port: int, metrics: RecorderMetrics) -> WSGIServer | None:
    try:
        server, _ = start_http_server(port, "127.0.0.1", metrics.registry)
    except OSError as error:
        # A second recorder on this machine must be able to take over, even without metrics.
        log.warning("port %d is in use, this recorder serves no metrics: %s", port, error.strerror)
        return None
    return server
