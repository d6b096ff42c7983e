"""Who may touch what: the one table that a change of borders edits."""

from __future__ import annotations

# Which of our packages each package may import (law 8).
ARROWS: dict[str, tuple[str, ...]] = {
    "features": ("features",),
    "training": ("training", "features"),
    "serving": ("serving", "features"),
}

# The rooms of each package in their order: a file imports only its own room and rooms that stand before it, lazily
# and for types too. A name is a folder or a file; the longest that fits a file is its room.
ROOMS: dict[str, tuple[str, ...]] = {
    "features": (
        *(
            "__init__",
            "errors",
            "settings",
            "progress",
            "command_line",
            "private_folder",
            "jit",
            "domain",
            "catalogue",
            "kernel",
        ),
        *("card_numbers", "intake", "history", "state", "bundle", "feast_store", "__main__"),
    ),
    "training": (
        *("__init__", "settings", "html", "recipe", "data", "model", "evaluation", "simulator/parameters"),
        *("simulator/random_streams", "simulator/parties", "simulator/rows", "simulator/traffic"),
        *("simulator/typologies", "simulator", "runs", "client", "detection_report", "load_test", "demo"),
        *("world_commands", "__main__"),
    ),
    "serving": (
        *("__init__", "errors", "store_config", "settings", "output", "private_file", "messages", "tracing"),
        *("model", "decision"),
        *("telemetry", "ledger/reader", "ledger/head", "ledger/sqlite", "ledger/postgres", "ledger", "lists", "cases"),
        *("feedback", "state"),
        *("redis_store", "lists/shared", "lists/writer"),
        *("shared_bounds", "challenger", "engine", "access", "server", "api", "overload", "audit", "recorder"),
        *(
            "console/auth",
            "console/desk",
            "console/pages",
            "console",
            "image",
            "start_checks",
            "service",
            "serve",
            "processes",
        ),
        *("cli", "__main__"),
    ),
}

# Library -> the files that may import it (a folder ends in /).
BORDERS: dict[str, tuple[str, ...]] = {
    "feast": (
        "features/feast_store/repo/definitions.py",
        "features/feast_store/online_store.py",
        "features/feast_store/offline_store.py",
        "features/feast_store/client.py",
    ),
    "mlflow": ("training/runs/mlflow_log.py", "training/runs/registry_gate.py"),
    "bentoml": (
        "serving/service.py",
        "serving/model/model_store.py",
        "serving/image.py",
        "training/runs/registry_gate.py",
    ),
    "duckdb": ("features/feast_store/asof.py",),
    "sqlite3": (
        "serving/ledger/sqlite/case_table.py",
        "serving/ledger/sqlite/connection.py",
        "serving/ledger/sqlite/ledger.py",
        "serving/ledger/sqlite/damage.py",
        "serving/ledger/sqlite/guard.py",
        "serving/cases/sqlite.py",
        "serving/cases/party_index.py",
        "serving/ledger/sqlite/checkpoint.py",
        "serving/challenger/shadow_scores.py",
        "features/state/profiles.py",
    ),
    "sqlalchemy": ("features/feast_store/client.py",),
    "redis": ("serving/redis_store/", "features/feast_store/redis_reader.py", "training/load_test/environment.py"),
    "hiredis": ("serving/redis_store/",),
    "psycopg": ("serving/ledger/postgres/", "serving/recorder/postgres_writer.py", "training/load_test/environment.py"),
    "requests": (),
}

# The files that may hold SQL text.
SQL_BORDER: tuple[str, ...] = (
    "serving/ledger/sqlite/case_table.py",
    "serving/ledger/sqlite/connection.py",
    "serving/ledger/sqlite/ledger.py",
    "serving/ledger/sqlite/damage.py",
    "serving/ledger/reader.py",
    "serving/ledger/postgres/events.py",
    "serving/ledger/postgres/schema.py",
    "serving/ledger/postgres/token_keys.py",
    "serving/recorder/postgres_writer.py",
    "serving/cases/postgres.py",
    "serving/cases/sqlite.py",
    "serving/recorder/verdicts.py",
    "serving/cases/cases.py",
    "serving/cases/queries.py",
    "serving/cases/party_index.py",
    "serving/ledger/sqlite/checkpoint.py",
    "serving/challenger/shadow_scores.py",
    "features/feast_store/asof.py",
    "features/state/profiles.py",
)

# Modules of serving that only compute, what each may import beside the list below, and the list.
PURE: dict[str, tuple[str, ...]] = {
    "decision/decision": (),
    "decision/thresholds": (),
    "decision/rules": (),
    "decision/reasons": (),
    "model/scorer": (),
    "model/tree_tables": ("decimal",),
    "model/tree_shap": (),
    "model/lightgbm_reference": ("importlib.util", "pathlib"),  # finds LightGBM's shared library
}
PURE_MAY_IMPORT: tuple[str, ...] = (
    *("__future__", "collections", "ctypes", "dataclasses", "enum", "functools", "itertools", "math"),
    *("operator", "threading", "typing", "lightgbm", "msgspec", "numpy"),
    *("features", "serving.decision.decision", "serving.model.scorer", "serving.decision.rules"),
    *(
        "serving.decision.reasons",
        "serving.model.tree_tables",
        "serving.model.tree_shap",
        "serving.model.lightgbm_reference",
    ),
)

TOP_LEVEL: frozenset[str] = frozenset(
    (
        *("pyproject.toml", "README.md", "bentofile.yaml", "Makefile", "constraints.txt", "LICENSE", "CHANGELOG.md"),
        *("features", "training", "serving", "notebooks", "tests", "docs", ".gitignore", ".ci"),
    )
)
