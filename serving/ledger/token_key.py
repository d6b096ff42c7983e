"""The key of the card-number tokens: made at the first start, shared by all workers, and bound to the ledger.

The secret is RISKGATE_HASH_KEY where it is set. Otherwise the embedded profile keeps one in a file below RISKGATE_VAR,
and production one in a row of PostgreSQL. The ledger keeps the fingerprint of each version: another key would give the
same card another token, and every window, list and case of it would begin anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path
from typing import NamedTuple

from features.intake.token_key import key_file, known_tokens, read_key, secret_of
from features.intake.tokens import Tokens
from serving.errors import CannotStart
from serving.ledger.sqlite.ledger import Ledger
from serving.store_config import LedgerConfig

__all__ = ["known_tokens_of", "shared_tokens", "tokens_of"]

log = logging.getLogger("riskgate.ledger")

#: Bytes of a generated secret.
_SECRET_BYTES = 32
_OTHERS = 0o077


class KeyRow(NamedTuple):
    """A key as the ledger knows it; `secret` is empty where it is kept elsewhere."""

    version: int
    fingerprint: str
    secret: str = ""


def tokens_of(config: LedgerConfig, ledger: Ledger) -> Tokens:
    """The tokens of the embedded profile; makes the key file if this ledger has no key yet.

    Raises: CannotStart when the ledger was written with another key, or its key is lost; RiskgateError for a key file
    that cannot be used.
    """
    version = config.token_key_version
    # Before the first payment nothing was made with a key, and another may be chosen.
    known = [KeyRow(*row) for row in ledger.token_keys()] if ledger.has_past() else []
    tokens = known_tokens(config.hash_key, config.var, version)
    if tokens is None:
        _refuse_lost(known, config)
        tokens = Tokens(_made(key_file(config.var, version)), version)
    elif not config.hash_key and key_file(config.var, version).stat().st_mode & _OTHERS:
        log.warning("other users can read the key of the card-number tokens: chmod 600 token-key-%d", version)
    _check(known, tokens)
    ledger.keep_token_key(tokens.version, tokens.fingerprint)
    return tokens


def shared_tokens(config: LedgerConfig) -> Tokens:
    """The tokens of the production profile: the first of all workers makes the key, the others read it.

    Raises: CannotStart when the ledger was written with another key, or PostgreSQL cannot be used.
    """
    # Imported here: the embedded profile needs no PostgreSQL driver.
    from serving.ledger.postgres import token_keys

    version = config.token_key_version
    own = secret_of(config.hash_key) if config.hash_key else secrets.token_hex(_SECRET_BYTES)
    offered = Tokens(own, version)
    offer = KeyRow(version, offered.fingerprint, "" if config.hash_key else own)
    known = [KeyRow(*row) for row in token_keys.keep(config.postgres_url, *offer)]
    ours = next(row for row in known if row.version == version)
    if not config.hash_key and not ours.secret:
        raise CannotStart(
            f"The card-number tokens of this ledger are made with a RISKGATE_HASH_KEY ({ours.fingerprint}, a "
            "fingerprint), which is not set.",
            "Set RISKGATE_HASH_KEY to the key of this ledger.",
        )
    tokens = offered if config.hash_key else Tokens(ours.secret, version)
    _check(known, tokens)
    return tokens


def known_tokens_of(config: LedgerConfig) -> Tokens | None:
    """The tokens for looking something up; makes no key, None if the installation has none yet.

    Raises: CannotStart, RiskgateError for a key that cannot be read.
    """
    version = config.token_key_version
    if config.hash_key or not config.postgres_url:
        return known_tokens(config.hash_key, config.var, version)
    from serving.ledger.postgres import token_keys

    found = [row for row in map(KeyRow._make, token_keys.rows(config.postgres_url)) if row.version == version]
    return Tokens(found[0].secret, version) if found and found[0].secret else None


def _check(known: list[KeyRow], tokens: Tokens) -> None:
    """Refuse another key under a version that the ledger knows, and a version below its newest."""
    newest = max((row.version for row in known), default=tokens.version)
    if tokens.version < newest:
        raise CannotStart(
            f"The ledger holds card-number tokens of version {newest} of the key, and RISKGATE_TOKEN_KEY_VERSION is "
            f"{tokens.version}.",
            f"Set RISKGATE_TOKEN_KEY_VERSION to {newest}.",
        )
    for row in known:
        if row.version == tokens.version and row.fingerprint != tokens.fingerprint:
            raise CannotStart(
                f"The card-number tokens of this ledger were made with the key {row.fingerprint} (version "
                f"{row.version}), and the key now is {tokens.fingerprint} (fingerprints, not the keys).",
                "Put the former key back; or set RISKGATE_TOKEN_KEY_VERSION to "
                f"{row.version + 1}: then each card gets another token, and its windows begin anew.",
            )


def _refuse_lost(known: list[KeyRow], config: LedgerConfig) -> None:
    lost = [row for row in known if row.version == config.token_key_version]
    if lost:
        raise CannotStart(
            f"The key of this ledger's card-number tokens ({lost[0].fingerprint}, a fingerprint) is missing: there is "
            f"no {key_file(config.var, lost[0].version)}, and RISKGATE_HASH_KEY is not set.",
            f"Put the file back from the backup; or set RISKGATE_TOKEN_KEY_VERSION to {lost[0].version + 1}: then "
            "each card gets another token, and its windows begin anew.",
        )


def _made(path: Path) -> str:
    """A new secret in a file of mode 0600, or the one of a process that was faster; a file is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes it readable by its owner only; a link, unlike a rename, never replaces a file.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(handle)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    secret = read_key(path.parent, int(path.name.rpartition("-")[2]))
    assert secret is not None
    return secret
