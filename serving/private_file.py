"""Replaces a JSON file that holds keys or passwords: readable by its owner only, never half written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec


def replace_private(path: Path, content: Any) -> None:
    """Write a value as JSON in place of the file; its folder is created if it is missing.

    Raises: OSError; the file is then what it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes it readable by its owner only; the rename is atomic.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    Path(temporary).replace(path)
