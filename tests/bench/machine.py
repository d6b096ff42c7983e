"""Where and with what a figure was measured: without this a figure means nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("bentoml", "feast", "lightgbm", "numba", "numpy", "msgspec", "uvicorn")


def machine() -> dict[str, object]:
    """Processor, cores, memory in GB, system, and the load of the last minute before the run."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    """The processor's name as the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def date() -> str:
    """Now, UTC, to the minute."""
    return datetime.now(tz=UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def versions() -> dict[str, str]:
    """Python's version and those of the packages that the figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
