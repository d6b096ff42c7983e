"""An empty folder of the embedded profile, and the commands of lists on it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of RISKGATE_VAR, without servers and without a hash key."""
    for name in ("REDIS_URL", "POSTGRES_URL", "HASH_KEY"):
        monkeypatch.delenv(f"RISKGATE_{name}", raising=False)
    monkeypatch.setenv("RISKGATE_VAR", str(tmp_path / "var"))
    return tmp_path / "var"
