"""Who may touch what: the one table that a change of borders edits."""

from __future__ import annotations

# Which of our packages each package may import (law 8).
ARROWS: dict[str, tuple[str, ...]] = {
    "features": ("features",),
    "training": ("training", "features"),
    "serving": ("serving", "features"),
}

# Library -> the files that may import it (a folder ends in /).
BORDERS: dict[str, tuple[str, ...]] = {
    "feast": (
        "features/store/definitions.py",
        "features/feast_online.py",
        "features/feast_offline.py",
        "features/catalogue_store.py",
    ),
    "mlflow": ("training/track.py", "training/promote.py"),
    "bentoml": ("serving/service.py", "serving/model_store.py", "serving/image.py", "training/promote.py"),
    "duckdb": ("features/asof.py",),
    "sqlite3": (
        "serving/ledger.py",
        "serving/cases.py",
        "serving/case_events.py",
        "serving/case_file.py",
        "serving/party_index.py",
        "serving/checkpoint.py",
        "serving/shadow_scores.py",
        "features/profiles.py",
    ),
    "sqlalchemy": ("features/catalogue_store.py",),
    "redis": ("serving/production/", "features/redis_velocity.py", "training/festival/stage.py"),
    "hiredis": ("serving/production/",),
    "psycopg": ("serving/production/", "training/festival/stage.py"),
    "requests": (),
}

# The files that may hold SQL text.
SQL_BORDER: tuple[str, ...] = (
    "serving/ledger.py",
    "serving/ledger_reading.py",
    "serving/production/schema.py",
    "serving/production/recording.py",
    "serving/production/desk.py",
    "serving/production/verdicts.py",
    "serving/cases.py",
    "serving/case_events.py",
    "serving/party_index.py",
    "serving/checkpoint.py",
    "serving/shadow_scores.py",
    "features/asof.py",
    "features/profiles.py",
)

# Modules of serving that only compute, what each may import beside the list below, and the list.
PURE: dict[str, tuple[str, ...]] = {
    "decision": (),
    "rules": (),
    "reasons": (),
    "scorer": (),
    "forest": ("decimal",),
    "walk": (),
    "lightgbm_reference": ("importlib.util", "pathlib"),  # finds LightGBM's shared library
}
PURE_MAY_IMPORT: tuple[str, ...] = (
    *("__future__", "collections", "ctypes", "dataclasses", "enum", "functools", "itertools", "math"),
    *("operator", "threading", "typing", "lightgbm", "msgspec", "numpy"),
    *("features", "serving.decision", "serving.scorer", "serving.rules", "serving.reasons"),
    *("serving.forest", "serving.walk", "serving.lightgbm_reference"),
)

TOP_LEVEL: frozenset[str] = frozenset(
    (
        *("pyproject.toml", "README.md", "bentofile.yaml", "Makefile", "constraints.txt", "LICENSE", "CHANGELOG.md"),
        *("features", "training", "serving", "notebooks", "tests", "docs", ".gitignore", ".ci"),
    )
)
