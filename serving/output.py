"""Output of commands: messages go to standard error, figures to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

out = Console(stderr=True, highlight=False, soft_wrap=True)


def write_report(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON for people and machines; the folder is created if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2))
