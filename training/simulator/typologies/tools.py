"""What fraudsters work with: accounts of their own, accounts they rent, and devices that nobody has seen before."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Integers
from training.simulator.random_streams import share_of
from training.simulator.traffic.episodes import Cast
from training.simulator.traffic.honest import BURNERS


def fresh_accounts(
    cast: Cast, story: str, crew: Integers, day: Integers, rng: np.random.Generator, rented: float = 0.4
) -> Integers:
    """One account per crew number: opened lately for the purpose, or rented from somebody with an honest past."""
    names, place = np.unique(crew, return_inverse=True)
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, place, day)
    opened = cast.people.opened_lately(first, rng)
    lent = (share_of(names, f"{cast.world.seed}/{story}/lent") * cast.people.joined(0)).astype(np.int64)
    is_rented = share_of(names, f"{cast.world.seed}/{story}/rented") < rented
    return np.asarray(np.where(is_rented, lent, opened)[place], np.int64)


def burner(story: str, number: Integers) -> Integers:
    """A device of its own for each number."""
    return np.asarray(BURNERS + (share_of(number, f"{story}/device") * 40_000_000_000).astype(np.int64), np.int64)


def mules(cast: Cast, story: str, draw: Integers, day: Integers, per_crew: int, rng: np.random.Generator) -> Integers:
    """Persons who receive for others: each of a few is used for about nine days, then the next."""
    return fresh_accounts(cast, f"{story} mules", (day // 9) * per_crew + draw % per_crew, day, rng, rented=0.55)
