"""What the libraries we build on may not do: report usage to their makers. A payment platform tells nobody."""

from __future__ import annotations

import os

_SILENT = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "FEAST_USAGE": "False",
}


def silence_telemetry() -> None:
    """Switch usage reports off for this process and its children, unless the environment says otherwise."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
