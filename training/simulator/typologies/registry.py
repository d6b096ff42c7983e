"""The table of stories: a new one is a file beside this one and a line here, in `told` and in the parameters."""

from __future__ import annotations

from training.world.stories.account_takeover import account_takeover
from training.world.stories.bust_out import bust_out
from training.world.stories.card_testing import card_testing
from training.world.stories.collect_request import collect_request
from training.world.stories.friendly_fraud import friendly_fraud
from training.world.stories.mule import mule
from training.world.stories.promotion_abuse import promotion_abuse
from training.world.stories.qr_swap import qr_swap
from training.world.stories.stolen_card import stolen_card
from training.world.stories.told import Story

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
