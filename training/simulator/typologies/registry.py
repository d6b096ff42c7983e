"""The table of stories: a new one is a file beside this one and a line here, in `told` and in the parameters."""

from __future__ import annotations

from training.simulator.typologies.account_takeover import account_takeover
from training.simulator.typologies.bust_out import bust_out
from training.simulator.typologies.card_testing import card_testing
from training.simulator.typologies.collect_request import collect_request
from training.simulator.typologies.friendly_fraud import friendly_fraud
from training.simulator.typologies.mule import mule
from training.simulator.typologies.promotion_abuse import promotion_abuse
from training.simulator.typologies.qr_swap import qr_swap
from training.simulator.typologies.shares import Story
from training.simulator.typologies.stolen_card import stolen_card

STORIES: dict[str, Story] = {
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
