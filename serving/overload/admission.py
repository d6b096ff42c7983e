"""Puts the admission queue and the fast path in front of one application."""

from __future__ import annotations

from serving.api.app import Application
from serving.engine.protocols import AnyRuntime
from serving.overload.admission_queue import Backlog
from serving.overload.fast_path import ShortWay
from serving.overload.gauges import show_backlog


class QueueAdmission:
    """Admits the payments of an application through a queue (the `Admission` of serving/api/app.py)."""

    def __init__(self, application: Application) -> None:
        self.application, self.backlog = application, Backlog()
        application.admission = self

    @property
    def leaving(self) -> bool:
        """Whether the process stops."""
        return self.backlog.leaving

    @leaving.setter
    def leaving(self, leaving: bool) -> None:
        self.backlog.leaving = leaving

    def serve(self, runtime: AnyRuntime) -> None:
        """Admit payments for this runtime from now on."""
        application, backlog = self.application, self.backlog
        short_way = ShortWay(application, backlog)
        limit = runtime.settings.body_limit_bytes
        backlog.serve(limit, lambda: runtime.opened.bundle, short_way, application.always)
        keyless = application.door is not None and application.door.keyless
        backlog.turn_away = None if keyless else short_way.turn_away
        backlog.server_is_late = lambda: runtime.engine is not None and runtime.engine.late
        backlog.trip_ns = lambda: 0 if runtime.engine is None else runtime.engine.trip_ns
        show_backlog(runtime.metrics, backlog)
