"""The table of typologies.

A new one needs a file, a line here, a share and the size of an episode (resources.py), and a start (parameters.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.simulator.rows import Rows, no_rows
from training.simulator.traffic.episodes import Episodes, WorldContext
from training.simulator.typologies.account_takeover import account_takeover
from training.simulator.typologies.bust_out import bust_out
from training.simulator.typologies.card_testing import card_testing
from training.simulator.typologies.collect_request import collect_request
from training.simulator.typologies.friendly_fraud import friendly_fraud
from training.simulator.typologies.mule import mule
from training.simulator.typologies.promotion_abuse import promotion_abuse, promotion_episodes
from training.simulator.typologies.qr_swap import qr_swap
from training.simulator.typologies.resources import usual_episodes
from training.simulator.typologies.stolen_card import stolen_card

#: Makes the payments of some episodes of a typology.
Typology = Callable[[WorldContext, Episodes, np.random.Generator], Rows]

TYPOLOGIES: dict[str, Typology] = {
    "card testing": card_testing,
    "account takeover": account_takeover,
    "collect request": collect_request,
    "stolen card": stolen_card,
    "friendly fraud": friendly_fraud,
    "mule": mule,
    "promotion abuse": promotion_abuse,
    "bust-out merchant": bust_out,
    "qr swap": qr_swap,
}
OWN_EPISODES = {"promotion abuse": promotion_episodes}
"""How the episodes of a typology are drawn that do not follow the usual traffic."""


def typology_rows(ctx: WorldContext, typology: str) -> Rows:
    """All payments of a typology in a world."""
    rng = ctx.stream(typology)
    drawn = OWN_EPISODES.get(typology, usual_episodes)(ctx, typology, rng)
    return ctx.inside(TYPOLOGIES[typology](ctx, drawn, rng)) if len(drawn) else no_rows()
