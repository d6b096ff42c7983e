"""Which entry decides, of all that match a payment: block before allow before watch, then the order of kinds."""

from __future__ import annotations

from collections.abc import Iterable

from serving.decision.rules import LISTS, Listed
from serving.lists.entry import KINDS, Entry
from serving.lists.networks import is_network

_RANK = {name: rank for rank, name in enumerate(LISTS)}
_KIND_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


def deciding(found: Iterable[Entry], at_ms: int) -> Listed | None:
    """The list and kind of the entry that decides a payment of that event time (ms UTC), or None.

    An entry that has expired by then does not match. Of two networks the one that sorts first is named.
    """
    best = min((one for one in found if one.holds_at(at_ms)), key=_order, default=None)
    if best is None:
        return None
    return Listed(best.list, best.kind, best.value if best.kind == "ip" and is_network(best.value) else "")


def _order(entry: Entry) -> tuple[int, int, str]:
    return _RANK[entry.list], _KIND_RANK[entry.kind], entry.value
