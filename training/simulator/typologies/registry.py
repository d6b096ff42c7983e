"""The table of typologies. A new one needs a file, a line here, a share (resources.py) and a start (parameters.py)."""

from __future__ import annotations

from collections.abc import Callable

from training.simulator.rows import Rows
from training.simulator.traffic.episodes import WorldContext
from training.simulator.typologies.account_takeover import account_takeover
from training.simulator.typologies.bust_out import bust_out
from training.simulator.typologies.card_testing import card_testing
from training.simulator.typologies.collect_request import collect_request
from training.simulator.typologies.friendly_fraud import friendly_fraud
from training.simulator.typologies.mule import mule
from training.simulator.typologies.promotion_abuse import promotion_abuse
from training.simulator.typologies.qr_swap import qr_swap
from training.simulator.typologies.stolen_card import stolen_card

#: Makes the payments of a typology in a world.
Typology = Callable[[WorldContext], Rows]

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
