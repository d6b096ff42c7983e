"""One scoring process: BentoML's worker in this process, without the supervisor that would restart a refused start."""

from __future__ import annotations

import signal
from types import FrameType

from features.errors import RiskgateError
from serving.server.sockets import bind
from serving.settings import Settings, export_settings
from serving.start_checks import check

#: How long the server waits for replies under way once its port is closed, seconds.
GRACEFUL_SECONDS = 10


class StoppedEarly(BaseException):
    """SIGTERM or SIGINT came before the server handled signals."""


def serve(settings: Settings, *, share_port: bool = False, own_port: int | None = None) -> int:
    """Serve until stopped; returns the exit code of the process.

    `share_port`: several processes listen on the port, this one as soon as it is ready. `own_port`: listen on that port
    of loopback too, alone and from the start.

    Raises: CannotStart, InvalidKeys and the refusals of a bundle, before anything listens.
    """
    checked = check(settings, [settings.host])
    export_settings(settings)
    from _bentoml_impl.worker.service import main as bentoml_worker

    from serving import service

    service.checked = checked
    listener = bind(settings.host, settings.port, shared=share_port, listening=not share_port)
    if share_port:
        service.joins_when_ready.append(listener.fileno())
    if own_port is not None:
        service.own_listeners.append(bind("127.0.0.1", own_port, shared=True))

    def stop(_number: int, _frame: FrameType | None) -> None:
        # uvicorn stops in order and then raises the signal again: the process must still exit with 0. A signal that
        # comes before uvicorn handles signals would be lost.
        if service.application.runtime is None:
            raise StoppedEarly

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # A SIGHUP before the service is ready must not end it; later it means "look for a new bundle".
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    arguments = ["serving.service:Riskgate", "--fd", str(listener.detach())]
    arguments += ["--timeout-graceful-shutdown", str(GRACEFUL_SECONDS)]
    try:
        bentoml_worker(arguments, standalone_mode=False)
    except StoppedEarly:
        return 0
    except (SystemExit, RiskgateError):
        return 3
    return 3 if service.application.failed or service.application.runtime is None else 0
