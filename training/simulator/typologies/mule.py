"""Mules: money of many victims gathers at one account and leaves it for many others within minutes or days."""

from __future__ import annotations

import numpy as np

from training.simulator.parties.payers import rented_address
from training.simulator.rows import P2P, UPI, Rows, payments
from training.simulator.traffic.episodes import (
    Cast,
    episodes,
    minutes_apart,
    moment,
    none_of_it,
    setbacks,
    usual_hours,
    whole_rupees,
)
from training.simulator.typologies.shares import wanted
from training.simulator.typologies.tools import burner, fresh_accounts

STORY = "mule"


def mule(cast: Cast) -> Rows:
    """Fan-in, then fan-out. Careful ones spread it over days and mix round amounts with odd ones."""
    rng, people, places = cast.stream(STORY), cast.people, cast.places
    told = episodes(cast, wanted(cast, STORY), 5, 20, rng, cast.world.first_day(STORY))
    if not len(told):
        return none_of_it()
    n, e, day = len(told), told.episode, told.day[told.episode]
    careful = rng.random(told.count)[e]
    out = told.last_steps(0.55)
    quick, slow = minutes_apart(told, 1.0, 20.0, rng), minutes_apart(told, 40.0, 420.0, rng)
    time = moment(cast, told.day, usual_hours(told.count, rng))[e] + np.where(careful < 0.55, quick, slow)
    refused = rng.random(n) < 0.10
    hurt = setbacks(told, refused) if cast.world.adapts else np.zeros(n, np.int64)
    account = fresh_accounts(cast, STORY, e, day, rng, rented=0.6)
    victim = people.active(n, 0, rng)
    others = fresh_accounts(cast, STORY, 5_000_000 + e * 16 + rng.integers(0, 16, n), day, rng, rented=0.75)
    others = np.where(others == account, (account + 1) % people.count, others)
    size = np.exp(rng.normal(np.log(480_000), 0.7, told.count))[e]
    paise = size * rng.lognormal(0.0, 0.45, n) * np.where(out, 0.8, 1.0) * 0.6**hurt
    payer = np.where(out, account, victim)
    operated = (rng.random(told.count) < 0.5)[e] & out  # the ring works the account itself
    return cast.inside(
        payments(
            people, places, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 50_000, 10_000_000), rng, 0.5),
            payer=payer, payee=places.first_person + np.where(out, others, account), rail=UPI, channel=P2P, day=day,
            story=STORY, refused=refused.astype(np.int64),
            device=np.where(operated, burner(STORY, e // 3), people.phone(payer, day, rng)),
            ip=np.where(operated & (careful < 0.4), rented_address(e // 3), people.address(payer, rng)),
        )
    )  # fmt: skip
