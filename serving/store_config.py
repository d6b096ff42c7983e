"""What it takes to open the ledger, and to connect to Redis: the settings that travel together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LedgerConfig:
    """A ledger, in PostgreSQL if there is a URL, else in SQLite, with the folder of the files that its events name.

    The repr shows no secret: a URL may hold a password.
    """

    var: Path
    #: When a commit of the SQLite file is on disk: `normal` or `full`.
    sync: str = "normal"
    postgres_url: str = field(default="", repr=False)
    #: The prefix in Redis of the stream that PostgreSQL records; a database belongs to one.
    redis_prefix: str = "rg"
    #: The key of the hashes of identifiers, as RISKGATE_HASH_KEY spells it; empty: they are clear.
    hash_key: str = field(default="", repr=False)
    #: The version of the key of card-number tokens.
    token_key_version: int = 1

    @property
    def sqlite(self) -> Path:
        """The SQLite file that holds the ledger and the cases."""
        return self.var / "ledger.sqlite"

    @property
    def segments(self) -> Path:
        """The folder of imported histories."""
        return self.var / "segments"

    @property
    def snapshots(self) -> Path:
        """The folder of snapshots of the state in memory."""
        return self.var / "snapshots"

    @property
    def bundles(self) -> Path:
        """The folder with a copy of each bundle that decided."""
        return self.var / "bundles"

    @property
    def shadow(self) -> Path:
        """The SQLite file that holds what challengers would have decided."""
        return self.var / "shadow.sqlite"


@dataclass(frozen=True)
class RedisConfig:
    """The online state in Redis, and the limits of what is kept there; the repr shows no URL."""

    url: str = field(repr=False)
    prefix: str
    #: How long an answer is kept for its retries.
    keep_seconds: int
    #: Unrecorded events at which payments are no longer recorded.
    stream_limit: int
