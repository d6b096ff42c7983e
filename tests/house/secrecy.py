"""The law that no secret is committed: what looks like one, whoever issued it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house.laws import files_of

#: What a secret looks like; of an assignment or a URL the secret itself is the last group.
PATTERNS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a cloud key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b"),
    "a forge's or messenger's token": re.compile(
        r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bglpat-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}"
    ),
    "a signed token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a key of ours": re.compile(r"\brg_[a-z0-9-]{2,32}_[A-Za-z0-9_-]{40,}"),
    "a password in a URL": re.compile(r"://[^\s/:@'\"`]*:([^\s@/'\"`]+)@"),
    "a secret in an assignment": re.compile(
        r"(?i)(?:api_?key|hash_?key|secret|passwd|password|token)[\"']?\s*[=:]\s*[\"']([A-Za-z0-9+/=_-]{20,})[\"']"
    ),
}
#: What stands for a password in tests and documentation, plain words joined by hyphens too, and is none.
PLACEHOLDERS = re.compile(r"(?i)^(?:hush\S*|password\]?|\{\S+\}|\S*…\S*|\$\S+|<\S+>|x+|[a-z]+(?:-[a-z]+)+)$")
#: Hashes of packages and stored pictures are long and random, and nobody's secret.
EXEMPT = ("constraints.txt", ".ipynb", ".svg")


def no_secret_is_committed(root: Path) -> list[str]:
    """Every line of a file that is or could be committed and holds what looks like a secret; it is not repeated."""
    return [
        f"{path}:{number} holds {what}: take it out, and revoke it if it was real"
        for path in files_of(root)
        if not path.name.endswith(EXEMPT)
        for number, line in enumerate((root / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        for what in secrets_in(line)
    ]


def secrets_in(line: str) -> list[str]:
    """The kinds of secrets that a line seems to hold."""
    found = []
    for what, pattern in PATTERNS.items():
        for match in pattern.finditer(line):
            if not (match.groups() and PLACEHOLDERS.match(match.groups()[-1])):
                found.append(what)
    return found
