"""Puts the admission queue and the fast path in front of the application."""

from __future__ import annotations

from serving.api.app import Application
from serving.engine.protocols import Runtime
from serving.overload.admission_queue import AdmissionQueue
from serving.overload.fast_path import FastPath
from serving.overload.gauges import show_queue


class QueueAdmission:
    """Admits the payments of an application through a queue (the `Admission` of serving/api/app.py)."""

    def __init__(self, application: Application, queue: AdmissionQueue | None = None) -> None:
        self.application, self.queue = application, queue or AdmissionQueue()
        application.admission = self

    @property
    def draining(self) -> bool:
        """Whether the process is draining."""
        return self.queue.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self.queue.draining = draining

    def serve(self, runtime: Runtime) -> None:
        """Admit payments to this runtime from now on."""
        application, queue = self.application, self.queue
        fast_path = FastPath(application, queue)
        limit = runtime.settings.body_limit_bytes
        queue.serve(limit, lambda: runtime.opened.bundle, fast_path, application.always)
        keyless = application.authenticator is not None and application.authenticator.keyless
        queue.reject = None if keyless else fast_path.reject
        queue.server_is_late = lambda: runtime.engine is not None and runtime.engine.late
        queue.trip_ns = lambda: 0 if runtime.engine is None else runtime.engine.trip_ns
        show_queue(runtime.metrics, queue)
