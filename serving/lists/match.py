"""Which entry decides, of all that match a payment: block before allow before watch, then the order of kinds."""

from __future__ import annotations

from collections.abc import Iterable

from serving.decision.rules import LISTS, Listed
from serving.lists.entry import KINDS, Entry
from serving.lists.networks import is_network

_RANK = {name: rank for rank, name in enumerate(LISTS)}
_LISTED = {(name, kind): Listed(name, kind) for name in LISTS for kind in KINDS}
_KIND_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


def deciding(found: Iterable[Entry], at_ms: int) -> Listed | None:
    """The list and kind of the entry that decides a payment of that event time (ms UTC), or None.

    An entry that has expired by then does not match. Of two networks the one that sorts first is named.
    """
    best = min((one for one in found if one.holds_at(at_ms)), key=_order, default=None)
    if best is None:
        return None
    return listed_of(best)


def listed_of(entry: Entry) -> Listed:
    """What a payment is told of the entry that decides about it."""
    if entry.kind == "ip" and is_network(entry.value):
        return Listed(entry.list, entry.kind, entry.value)
    return _LISTED[entry.list, entry.kind]


def _order(entry: Entry) -> tuple[int, int, str]:
    return _RANK[entry.list], _KIND_RANK[entry.kind], entry.value
