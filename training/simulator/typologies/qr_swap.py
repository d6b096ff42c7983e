"""QR swap: a sticker over a store's QR code redirects its customers' payments to a fraudster."""

from __future__ import annotations

import numpy as np

from training.simulator.rows import QR_STATIC, UPI, Rows, payments
from training.simulator.traffic.episodes import Episodes, WorldContext, moment, usual_hours, whole_rupees
from training.simulator.typologies.resources import fresh_accounts

TYPOLOGY = "qr swap"


def qr_swap(ctx: WorldContext, drawn: Episodes, rng: np.random.Generator) -> Rows:
    """Customers of one store pay the usual amounts at the usual place to a new payee, until the store notices."""
    payers, payees = ctx.payers, ctx.payees
    n, e, day = len(drawn), drawn.episode, drawn.day[drawn.episode]
    length_h = np.exp(rng.uniform(np.log(2.0), np.log(72.0), drawn.count))[e]
    late = (rng.random(n) * length_h / 24).astype(np.int64)
    time = moment(ctx, day + late, usual_hours(n, rng))
    payer = payers.active(drawn.count * 400, 0, rng).reshape(drawn.count, 400)
    city = payers.city[payer[:, 0]]
    local = payer[e, rng.integers(0, 400, n)]
    another = payer[e, rng.integers(0, 400, n)]
    payer_here = np.where(payers.city[local] == city[e], local, another)
    store = payees.store(city, rng.random(drawn.count))[e]
    north, east = payees.spot(store)
    located = rng.random(n) < 0.66
    paise = 19_000 * payers.spend[payer_here] * payees.price(store) * rng.lognormal(0.0, 0.85, n)
    receiver = fresh_accounts(ctx, TYPOLOGY, e, day, rng, rented=0.5)
    return payments(
        payers, payees, rng, time=time, amount_minor=whole_rupees(np.clip(paise, 1_000, 3_000_000), rng, 0.2),
        payer=payer_here, payee=payees.first_person + receiver, rail=UPI, channel=QR_STATIC, day=day,
        typology=TYPOLOGY, refused=np.zeros(n, np.int64),
        latitude=np.where(located, np.round(north + rng.normal(0, 0.004, n), 5), np.nan),
        longitude=np.where(located, np.round(east + rng.normal(0, 0.004, n), 5), np.nan),
    )  # fmt: skip
