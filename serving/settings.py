"""The settings of the service: one table, read once from the environment."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from features.intake.tokens import FIRST_VERSION, LAST_VERSION
from features.settings import PREFIX, is_kubernetes_link, read_variable, use_bentoml_home
from serving.errors import CannotStart
from serving.store_config import LedgerConfig, RedisConfig

log = logging.getLogger("riskgate.settings")


class Setting(NamedTuple):
    """One row of the table; the environment variable is `RISKGATE_` + `name`."""

    name: str
    default: str
    unit: str
    meaning: str


TABLE = (
    Setting("VAR", "var", "folder", "where the ledger, snapshots and served bundles are kept"),
    Setting("HOST", "127.0.0.1", "address", "where the service listens; off loopback only with API keys"),
    Setting("PORT", "3000", "port", "where the service listens"),
    Setting("CONSOLE_PORT", "3001", "port", "where the review desk listens"),
    Setting("API_KEY", "", "secret", "a single key for everything, `Authorization: Bearer <key>`; empty: none"),
    Setting("KEYS", "", "file", "API keys with scopes (python -m serving key-add); read again when it changes"),
    Setting("HASH_KEY", "", "secret", "instruments and IP addresses are stored as hashes keyed with it; empty: clear"),
    Setting("TOKEN_KEY_VERSION", "1", "version", "raised by one when the key of card-number tokens was lost or leaked"),
    Setting("BUNDLE", "riskgate:latest", "folder or tag", "the bundle to serve: a folder, or a BentoML tag"),
    Setting("PROFILES", "", "file", "Feast's profile file (SQLite); its new rows become events; empty: no profiles"),
    Setting("CLOCK", "system", "system|replay", "replay: the event time of the payments is the clock"),
    Setting("LEDGER_SYNC", "normal", "normal|full", "normal survives a killed process, full a crashed machine"),
    Setting("BODY_LIMIT_BYTES", "65536", "bytes", "largest body of one request"),
    Setting("BATCH_LIMIT_BYTES", "4194304", "bytes", "largest body of /v1/score/batch"),
    Setting("RATE_PER_SECOND", "0", "requests/s", "a caller's rate before 429, if its key names none; 0: no limit"),
    Setting("HSTS_SECONDS", "0", "seconds", "Strict-Transport-Security of every reply, for TLS in front; 0: not sent"),
    Setting("IN_FLIGHT_LIMIT", "2048", "requests", "requests in flight before one is refused with 503"),
    Setting("WAL_LIMIT_BYTES", "268435456", "bytes", "size of the WAL at which it is restarted"),
    Setting("CHALLENGER", "", "folder or tag", "a bundle that also scores the champion's payments; empty: none"),
    Setting("LOG", "text", "text|json", "the form of the log on standard error, one event per line"),
    Setting(
        "LOG_DECISIONS", "notable", "none|notable|all", "decisions with a log line; notable: flagged or below full"
    ),
    Setting("SWAP_SECONDS", "2", "seconds", "interval of checks for a newly promoted bundle; 0: on SIGHUP only"),
    Setting("DRAIN_SECONDS", "5", "seconds", "how long a stopping service still answers new requests"),
    Setting("DRAIN_MIN_SECONDS", "2", "seconds", "how long the port stays open after SIGTERM even if no request comes"),
    Setting(
        "CONNECTION_SECONDS",
        "300",
        "seconds",
        "a connection ends with a reply about then, so load spreads again; `0`: never",
    ),
    Setting("KEEP_ALIVE_SECONDS", "75", "seconds", "an idle connection is closed after this; above a balancer's own"),
    Setting("FAST_PATH", "on", "on|off", "off: plain payments go through BentoML's application too"),
    Setting("SANDBOX", "0", "0|1", "1: transaction ids such as `test_decline` get a known answer and are not recorded"),
    Setting("REDIS_URL", "", "URL", "Redis of the production profile: `redis://…`; empty: embedded"),
    Setting("POSTGRES_URL", "", "URL", "PostgreSQL of the production profile: `postgresql://…`; empty: embedded"),
    Setting("REDIS_PREFIX", "rg", "word", "prefix of every key in Redis"),
    Setting("IDEMPOTENCY_SECONDS", "172800", "seconds", "how long Redis keeps an answer; PostgreSQL keeps older ones"),
    Setting("STREAM_LIMIT", "2000000", "events", "unrecorded events in Redis at which payments are no longer recorded"),
    Setting("RECORDER_PORT", "3002", "port", "where the recorder serves its metrics, on loopback"),
    Setting("WORKERS", "2", "processes", "scoring processes of the production profile behind one port"),
)

#: Units of whole numbers.
WHOLE = ("port", "bytes", "requests/s", "requests", "seconds", "events", "processes", "version")
#: At most 15 digits: Python refuses to read thousands of them.
_WHOLE = re.compile(r"[0-9]{1,15}")
LARGEST_PORT = 65_535
#: All IP addresses can be hashed within minutes, so a short key can be brute-forced.
SHORTEST_HASH_KEY = 32
#: Valid prefixes of each server's URL.
SCHEMES = {"redis_url": ("redis://", "rediss://", "unix://"), "postgres_url": ("postgresql://", "postgres://")}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process; see `TABLE` for units and meanings."""

    var: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = 3000
    console_port: int = 3001
    api_key: str = ""
    keys: str = ""
    hash_key: str = ""
    token_key_version: int = FIRST_VERSION
    bundle: str = "riskgate:latest"
    profiles: str = ""
    clock: str = "system"
    ledger_sync: str = "normal"
    body_limit_bytes: int = 65_536
    batch_limit_bytes: int = 4_194_304
    rate_per_second: int = 0
    hsts_seconds: int = 0
    in_flight_limit: int = 2_048
    wal_limit_bytes: int = 268_435_456
    challenger: str = ""
    log: str = "text"
    log_decisions: str = "notable"
    swap_seconds: int = 2
    drain_seconds: int = 5
    drain_min_seconds: int = 2
    connection_seconds: int = 300
    keep_alive_seconds: int = 75
    fast_path: str = "on"
    sandbox: str = "0"
    redis_url: str = ""
    postgres_url: str = ""
    redis_prefix: str = "rg"
    idempotency_seconds: int = 172_800
    stream_limit: int = 2_000_000
    recorder_port: int = 3002
    workers: int = 2

    def __repr__(self) -> str:
        """Every setting but the secrets, and the URLs, which may hold a password."""
        hidden = {row.name.lower() for row in TABLE if row.unit in ("secret", "URL")}
        shown = {name: value for name, value in msgspec.structs.asdict(self).items() if name not in hidden}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def production(self) -> bool:
        """Whether state and ledger live on Redis and PostgreSQL; else in this process and one SQLite file."""
        return bool(self.redis_url and self.postgres_url)

    @property
    def ledger(self) -> LedgerConfig:
        """What it takes to open the ledger."""
        return LedgerConfig(
            self.var, self.ledger_sync, self.postgres_url, self.redis_prefix, self.hash_key, self.token_key_version
        )

    @property
    def redis(self) -> RedisConfig:
        """What it takes to connect to the online state of the production profile."""
        return RedisConfig(self.redis_url, self.redis_prefix, self.idempotency_seconds, self.stream_limit)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment (or the given mapping).

    Raises: CannotStart with every problem of the values.
    """
    values: dict[str, str | int | Path] = {}
    problems = []
    for row in TABLE:
        text = read_variable(row.name, environment)
        if text is None:
            text = row.default
        field = row.name.lower()
        if field == "var":
            values[field] = Path(text)
        elif row.unit in WHOLE:
            if is_kubernetes_link(text):
                log.warning(
                    "%s%s is `%s`, which Kubernetes sets for a Service of that name: %s is used",
                    PREFIX, row.name, text, row.default,
                )  # fmt: skip
                text = row.default
            if _WHOLE.fullmatch(text) is None:
                problems.append(f"{PREFIX}{row.name} is `{_short(text)}`, not a whole number of {row.unit}.")
            elif row.unit == "port" and int(text) > LARGEST_PORT:
                problems.append(f"{PREFIX}{row.name} is {int(text)}, above the largest port, {LARGEST_PORT}.")
            else:
                values[field] = int(text)
        elif "|" in row.unit and text not in row.unit.split("|"):
            problems.append(f"{PREFIX}{row.name} is `{_short(text)}`, not one of {row.unit.replace('|', ', ')}.")
        else:
            values[field] = text
    problems += _server_problems(values)
    if not str(values["api_key"]).isprintable():
        problems.append(f"{PREFIX}API_KEY holds a line end or another character that no caller can send.")
    if 0 < len(str(values["hash_key"])) < SHORTEST_HASH_KEY:
        problems.append(f"{PREFIX}HASH_KEY is shorter than {SHORTEST_HASH_KEY} characters.")
    if not FIRST_VERSION <= int(str(values.get("token_key_version", FIRST_VERSION))) <= LAST_VERSION:
        problems.append(f"{PREFIX}TOKEN_KEY_VERSION lies outside {FIRST_VERSION}..{LAST_VERSION}.")
    if problems:
        raise CannotStart(" ".join(problems), "Correct the environment and start again.")
    return msgspec.convert(values, Settings)


def log_form(environment: Mapping[str, str] | None = None) -> str:
    """The form of the log, read before the other settings are validated."""
    return "json" if read_variable("LOG", environment) == "json" else "text"


def _short(text: str) -> str:
    """A value for a message, truncated."""
    return text if len(text) <= 60 else text[:60] + "…"


def fast_path_is_on(environment: Mapping[str, str] | None = None) -> bool:
    """Whether plain payments take the fast path; BentoML's worker needs it before it reads the other settings."""
    return read_variable("FAST_PATH", environment) in (None, "on")


def workers_wanted(environment: Mapping[str, str] | None = None) -> int:
    """The number of BentoML's workers: one in the embedded profile, where one process orders the events."""
    text = read_variable("WORKERS", environment) or "2"
    return int(text) if read_variable("REDIS_URL", environment) and _WHOLE.fullmatch(text) and int(text) else 1


def _server_problems(values: Mapping[str, str | int | Path]) -> Iterator[str]:
    """Problems of the settings of the production profile; never repeats a URL, which may hold a password."""
    for field, schemes in SCHEMES.items():
        if values[field] and not str(values[field]).startswith(schemes):
            yield f"{PREFIX}{field.upper()} does not begin with {' or '.join(schemes)}."
    given = [field for field in SCHEMES if values[field]]
    if len(given) == 1:
        (missing,) = set(SCHEMES) - set(given)
        yield (
            f"{PREFIX}{given[0].upper()} is set and {PREFIX}{missing.upper()} is not: "
            "the production profile needs both, the embedded one neither."
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", str(values["redis_prefix"])):
        yield f"{PREFIX}REDIS_PREFIX is not a word of up to 40 letters, digits, hyphens and underscores."
    for field in ("workers", "stream_limit", "idempotency_seconds", "keep_alive_seconds"):
        if values.get(field) == 0:
            yield f"{PREFIX}{field.upper()} is 0; it must be at least 1."


def export_settings(settings: Settings) -> None:
    """Write these settings into the environment, which BentoML's service reads."""
    os.environ.update(environment_of(settings))


def make_paths_absolute() -> None:
    """Make the paths in the environment absolute, for child processes with another working directory."""
    for row in TABLE:
        place = Path(os.environ.get(PREFIX + row.name, row.default))
        is_place = row.unit in ("folder", "file") or (row.unit == "folder or tag" and place.is_dir())
        if is_place and place.parts:
            os.environ[PREFIX + row.name] = str(place.absolute())


def use_own_model_store() -> None:
    """Use the project's model store in this process and its children; works before the settings are validated."""
    use_bentoml_home(Path(read_variable("VAR") or TABLE[0].default))


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of a child process with these settings."""
    ours = {PREFIX + row.name: str(getattr(settings, row.name.lower())) for row in TABLE}
    return {**os.environ, **ours}
