"""One process that serves: BentoML's service on uvicorn, without a supervisor that would restart a refusal."""

from __future__ import annotations

import signal
import socket

import uvicorn

from features.errors import RiskgateError
from serving import start
from serving.arrival import protocol_of
from serving.door import Door
from serving.drain import DrainingServer
from serving.errors import CannotStart
from serving.logs import set_up
from serving.settings import Settings, listen_as


def shared(host: str, port: int) -> socket.socket:
    """A socket for a port that several processes listen on; the kernel spreads connections over them.

    Raises: CannotStart.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        one.bind((host, port))
    except OSError as error:
        one.close()
        raise CannotStart(
            f"Port {port} of {host} cannot be used: {error.strerror}.", "End what listens there, or choose another."
        ) from error
    return one


def check_servers(settings: Settings) -> None:
    """Ask both servers of the production profile before anything is loaded.

    Raises: CannotStart.
    """
    if settings.production:
        # Only here: the embedded profile needs no driver of a server.
        from serving.production.servers import check_postgres, check_redis

        check_redis(settings)
        check_postgres(settings)


def serve(settings: Settings, sockets: list[socket.socket] | None = None) -> int:
    """Serve until stopped, on these sockets if given; the exit code of the process.

    Raises: CannotStart and the refusals of a bundle, before anything listens.
    """
    start.check_listening(settings)
    check_servers(settings)
    Door(settings)  # a key file that cannot be used is refused before anything listens
    listen_as(settings)
    from serving.model_store import bundle_folder
    from serving.service import Front, application, service

    set_up(settings.log)  # after the import of BentoML, which brings handlers of its own
    start.open_champion(lambda: bundle_folder(settings), settings)
    config = uvicorn.Config(
        Front(service.to_asgi()),  # no request needs BentoML's own layers, which answer in other shapes
        ws="none",
        host=settings.host,
        port=settings.port,
        log_config=None,
        http=protocol_of(application.backlog),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        backlog=2048,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
    server = DrainingServer(config, settings.drain_seconds, application.leave)
    # uvicorn stops in order and then raises the signal anew; a stop in order is no failure.
    # A SIGHUP before the service is ready must not end it; then it means "look for a new bundle".
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    try:
        server.run(sockets)
    except (SystemExit, RiskgateError):
        return 3
    return 0 if server.started and not application.failed else 3
