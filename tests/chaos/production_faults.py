"""What goes wrong around many workers; each returns the moment at which its cause was gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.production_rig import ProductionRig
from tests.serving.processes.processes import ended

TAKEN, REFUSED = 'riskgate_bundle_swaps_total{result="taken"}', "riskgate_bundle_refused"

Fault = Callable[[ProductionRig], float]


class Kind(NamedTuple):
    """A fault, and how Redis must write its append-only file for it."""

    name: str
    happen: Fault
    appendfsync: str = "everysec"


def worker_killed(rig: ProductionRig) -> float:
    """kill -9 of one of two workers; `up` starts it again."""
    os.kill(rig.child("run", str(rig.own_ports[0])), signal.SIGKILL)
    gone = time.monotonic()
    time.sleep(0.5)
    rig.wait_until_ready()
    return gone


def workers_killed(rig: ProductionRig) -> float:
    """kill -9 of every worker at once."""
    for port in rig.own_ports:
        os.kill(rig.child("run", str(port)), signal.SIGKILL)
    return time.monotonic()


def recorder_killed(rig: ProductionRig) -> float:
    """kill -9 of the recorder, twice: in the middle of recording, and just after it came back."""
    for _ in range(2):
        os.kill(rig.child("recorder"), signal.SIGKILL)
        time.sleep(0.7)
    return time.monotonic()


def redis_killed(rig: ProductionRig) -> float:
    """kill -9 of Redis, away for a second."""
    rig.redis.kill()
    time.sleep(1.0)
    rig.redis.start()
    return time.monotonic()


def postgres_killed(rig: ProductionRig) -> float:
    """PostgreSQL crashes and is away for two seconds."""
    rig.postgres.kill()
    time.sleep(2.0)
    rig.postgres.start()
    return time.monotonic()


def redis_slow(rig: ProductionRig) -> float:
    """Every trip to Redis takes longer than a payment has, for two seconds."""
    rig.proxy.delay = 0.6
    time.sleep(2.0)
    rig.proxy.delay = 0.0
    return time.monotonic()


def redis_silent(rig: ProductionRig) -> float:
    """Connections stay open and carry nothing, as when a switch forgets them; then they carry on."""
    rig.proxy.silent = True
    time.sleep(2.0)
    rig.proxy.silent = False
    return time.monotonic()


def redis_cut_off(rig: ProductionRig) -> float:
    """Every connection is reset and none is made for a second and a half."""
    rig.proxy.cut()
    time.sleep(1.5)
    rig.proxy.closed = False
    return time.monotonic()


def champion_swapped(rig: ProductionRig) -> float:
    """Another champion takes over in every worker."""
    before = {port: rig.metric(port, TAKEN) for port in rig.own_ports}
    rig.bundles.next()
    for port, taken in before.items():
        rig.until(TAKEN, taken + 1, port)
    return time.monotonic()


def model_spoiled(rig: ProductionRig) -> float:
    """A worker dies and finds half a model; the last champion goes on until a whole one lies there."""
    rig.bundles.spoil()
    os.kill(rig.child("run", str(rig.own_ports[0])), signal.SIGKILL)
    time.sleep(0.5)
    rig.wait_until_ready()
    for port in rig.own_ports:
        rig.until(REFUSED, 1, port)
    gone = time.monotonic()
    rig.bundles.next()
    for port in rig.own_ports:
        rig.until(REFUSED, 0, port)
    return gone


def stopped(rig: ProductionRig) -> float:
    """Everything is stopped in order under load, and brought up again."""
    ended(rig.process)
    gone = time.monotonic()
    rig.start()
    return gone


KINDS = (
    Kind("worker_killed", worker_killed),
    Kind("workers_killed", workers_killed),
    Kind("recorder_killed", recorder_killed),
    Kind("redis_killed_appendfsync_everysec", redis_killed),
    Kind("redis_killed_appendfsync_always", redis_killed, "always"),
    Kind("postgres_killed", postgres_killed),
    Kind("redis_slow", redis_slow),
    Kind("redis_silent", redis_silent),
    Kind("redis_cut_off", redis_cut_off),
    Kind("champion_swapped", champion_swapped),
    Kind("model_spoiled", model_spoiled),
    Kind("stopped", stopped),
)
