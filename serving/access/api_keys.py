"""API keys and their scopes, kept as hashes in one small file that may change while the service runs.

A token is `rg_<id>_<secret>` with a secret of 256 random bits. Its SHA-256 is kept: a slow hash only protects
low-entropy secrets, and every payment would pay for it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from features.domain.payment_fields import FIRST_YEAR, LAST_YEAR
from features.errors import RiskgateError
from features.intake.card_numbers import holds_card_number
from serving.private_file import replace_private

#: The scopes of a key: score payments, report outcomes and labels, read receipts and metrics, everything.
SCOPES = ("score", "feedback", "read", "admin")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
SECRET_BYTES = 32
#: Requests a second of one key; numbers beyond 64 bits cannot be written to the key file.
HIGHEST_RATE = 1_000_000_000
_RESTORE = "Restore it, or remove it and add the keys again (python -m serving key-add)."


class InvalidKeys(RiskgateError):
    """A key file, or a key, that cannot be used as it is."""


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One key: its id, the SHA-256 of its token (hex), its scopes and its lifetime.

    `rate` is requests per second, None for the default of the settings; datetimes are aware.
    """

    id: str
    sha256: str
    scopes: tuple[str, ...]
    created: datetime
    rate: int | None = None
    expires: datetime | None = None
    revoked: datetime | None = None
    note: str = ""

    def is_over(self, now: datetime) -> bool:
        """Whether the key has expired or was revoked."""
        return any(moment is not None and moment <= now for moment in (self.expires, self.revoked))


def digest_of(token: bytes) -> bytes:
    """SHA-256 of a token, 32 bytes."""
    return hashlib.sha256(token).digest()


def id_of(token: bytes) -> bytes:
    """The id in a token; empty for text that is not a token.

    >>> id_of(b"rg_checkout_Zm9v_x"), id_of(b"anything else")
    (b'checkout', b'')
    """
    parts = token.split(b"_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == b"rg" else b""


def new_key(
    name: str,
    scopes: Sequence[str],
    now: datetime,
    *,
    rate: int | None = None,
    days: int | None = None,
    note: str = "",
) -> tuple[Key, str]:
    """(key, token): a new key, and its token, which is shown once and stored nowhere.

    Raises: InvalidKeys.
    """
    if holds_card_number(name) or holds_card_number(note):
        raise InvalidKeys("The id or the note looks like a clear card number.", "Choose another one.")
    token = f"rg_{name}_{secrets.token_urlsafe(SECRET_BYTES)}"
    # Compared before it is computed: a moment after the year 9999 is an OverflowError.
    if days is not None and days >= (datetime(LAST_YEAR, 1, 1, tzinfo=UTC) - now).days:
        raise InvalidKeys(
            f"{days} days from now is after the year {LAST_YEAR - 1}.", "Pass fewer days, or none: it never expires."
        )
    key = Key(
        id=name,
        sha256=digest_of(token.encode()).hex(),
        scopes=tuple(dict.fromkeys(scopes)),
        created=now,
        rate=rate,
        expires=None if days is None else now + timedelta(days=days),
        note=note,
    )
    problems = list(_problems([key]))
    if problems:
        raise InvalidKeys(" ".join(problems), "Correct it and add the key again.")
    return key, token


class KeyFile:
    """The keys in one JSON file that only its owner may read; a change replaces the whole file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Key]:
        """Every key by id; empty when there is no file yet.

        Raises: InvalidKeys.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InvalidKeys(
                f"The key file {self.path} cannot be read: {error.strerror}.", _repair_of(error, self.path)
            ) from error
        try:
            keys = msgspec.json.decode(data, type=list[Key])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise InvalidKeys(f"The key file {self.path} is not a list of keys: {why}.", _RESTORE) from None
        problems = list(_problems(keys))
        if problems:
            raise InvalidKeys(f"{self.path}: {' '.join(problems)}", f"Correct the file. {_RESTORE}")
        return {key.id: key for key in keys}

    def stamp(self) -> tuple[int, int, int] | None:
        """A value that changes when the file does; None when there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def add(self, key: Key) -> None:
        """Store a new key.

        Raises: InvalidKeys when its id is taken, even by a revoked key: old receipts name it.
        """
        keys = self.read()
        if key.id in keys:
            raise InvalidKeys(f"There is a key `{key.id}` already.", "Give it another id, then revoke the old one.")
        replace_private(self.path, [*keys.values(), key])

    def revoke(self, name: str, now: datetime) -> None:
        """Revoke a key; its entry stays as a record.

        Raises: InvalidKeys when there is no key of that id.
        """
        keys = self.read()
        if name not in keys:
            raise InvalidKeys(f"There is no key `{name}`.", "See `python -m serving key-list`.")
        if keys[name].revoked is None:
            keys[name] = msgspec.structs.replace(keys[name], revoked=now)
        replace_private(self.path, list(keys.values()))


def _repair_of(error: OSError, path: Path) -> str:
    """How to make the file readable."""
    if isinstance(error, PermissionError):
        return (
            f"Make it readable for {user_name()}, who runs this: chown or chmod 640 the file, "
            f"and chmod 750 the folder {path.parent}."
        )
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return "Set RISKGATE_KEYS to the file of keys itself, not to a folder."
    return "Repair the disk or the mount that holds it, then start again."


def user_name() -> str:
    """The user that runs this process: its name, or its number if it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user without an entry in /etc/passwd
        return f"the user {os.geteuid()}"


def _problems(keys: Sequence[Key]) -> Iterator[str]:
    names = [key.id for key in keys]
    yield from (f"The id `{name}` is there twice." for name in sorted({n for n in names if names.count(n) > 1}))
    for key in keys:
        if not _ID.fullmatch(key.id):
            yield f"`{key.id}` is no id: use 2 to 32 small letters, digits and hyphens."
        if not _DIGEST.fullmatch(key.sha256):
            yield f"Key `{key.id}` has no SHA-256 of its token."
        if not key.scopes or not set(key.scopes) <= set(SCOPES):
            yield f"Key `{key.id}` needs scopes out of {', '.join(SCOPES)}."
        if key.rate is not None and not 1 <= key.rate <= HIGHEST_RATE:
            yield f"Key `{key.id}` has a rate outside 1 to {HIGHEST_RATE:,} requests a second."
        moments = [m for m in (key.created, key.expires, key.revoked) if m is not None]
        if any(moment.tzinfo is None or not FIRST_YEAR <= moment.year < LAST_YEAR for moment in moments):
            yield f"Key `{key.id}` has a moment without a UTC offset, or outside {FIRST_YEAR}..{LAST_YEAR - 1}."
