"""No library reports usage from a process that imports ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_usage_reports_are_off_as_soon_as_a_package_is_imported() -> None:
    environment = {k: v for k, v in os.environ.items() if "TRACK" not in k and "TELEMETRY" not in k and k != "CI"}
    program = (
        "import training, serving, bentoml\n"
        "from bentoml._internal.utils.analytics.usage_stats import do_not_track\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "assert do_not_track() and is_telemetry_disabled()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
