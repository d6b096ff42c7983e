"""Where the key of the card-number tokens comes from: RISKGATE_HASH_KEY, or a file that the service made.

Serving makes the file at its first start (serving/ledger/token_key.py); training only reads it, so that both give the
same number the same token.
"""

from __future__ import annotations

import re
from pathlib import Path

from features.errors import RiskgateError
from features.intake.tokens import FIRST_VERSION, Tokens

#: How RISKGATE_HASH_KEY spells a line end that is part of the key. A real line end after the value is cut off now;
#: older releases kept it.
LINE_ENDS = {r"\r\n": "\r\n", r"\n": "\n"}
_SECRET = re.compile(r"[0-9a-f]{64}", re.ASCII)


def secret_of(hash_key: str) -> str:
    """The secret that RISKGATE_HASH_KEY spells.

    >>> secret_of(r"key\\n")
    'key\\n'
    """
    for written, line_end in LINE_ENDS.items():
        if hash_key.endswith(written):
            return hash_key.removesuffix(written) + line_end
    return hash_key


def key_file(var: Path, version: int = FIRST_VERSION) -> Path:
    """The file of a key in the folder RISKGATE_VAR: 64 hexadecimal digits, readable by its owner only."""
    return var / f"token-key-{version}"


def read_key(var: Path, version: int = FIRST_VERSION) -> str | None:
    """The secret in the key file; None if there is no file.

    Raises: RiskgateError for a file that cannot be read or holds something else.
    """
    path = key_file(var, version)
    try:
        secret = path.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RiskgateError(
            f"The key of the card-number tokens, {path}, cannot be read: {error.strerror}.",
            "Give the user of this process read access to it (mode 0600).",
        ) from None
    if _SECRET.fullmatch(secret) is None:
        raise RiskgateError(
            f"{path} holds no key of card-number tokens (64 hexadecimal digits).", "Put it back from the backup."
        )
    return secret


def known_tokens(hash_key: str, var: Path, version: int = FIRST_VERSION) -> Tokens | None:
    """The tokens of an installation whose key is in the environment or in a file; None without a key.

    Raises: RiskgateError for a key file that cannot be used.
    """
    secret = secret_of(hash_key) if hash_key else read_key(var, version)
    return None if secret is None else Tokens(secret, version)
