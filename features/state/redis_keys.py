"""What the string of an entity is called in Redis: whoever scores and whoever only reads must agree on it."""

from __future__ import annotations

#: One letter for payer, instrument, device, ip, payee and pair.
LETTERS = ("u", "i", "d", "a", "m", "p")


def entity_prefixes(prefix: str) -> tuple[str, ...]:
    """For each entity kind how the names of its strings begin; an id and a closing brace follow.

    The part in braces is what Redis Cluster hashes: so one entity is one slot.

    >>> entity_prefixes("rg")[0] + "u-1042" + "}"
    'rg:{u:u-1042}'
    """
    return tuple(f"{prefix}:{{{letter}:" for letter in LETTERS)
