"""Rules on the amount alone: what no score may wave through, in the reference currency of the model.

The bounds are amounts of money, so they are given in US dollars and converted where a policy is made: a bound in paise
is none in yen. A payment of unknown amount is above every bound.
"""

from __future__ import annotations

from features.bundle.policy import Rule
from features.domain.money import Weights, reference_minor

#: US dollars that a payer with little history pays without a look, and that anybody pays without a challenge.
UNPROVEN_DOLLARS = 10_000
ANY_DOLLARS = 100_000
#: A payer with fewer payments than this in 30 days has little history.
PROVEN_PAYMENTS = 5
_CENTS = 100


def dollar_minor(weights: Weights) -> int:
    """One US dollar in reference minor units, at least 1.

    >>> dollar_minor({"USD": (85, 1)}), dollar_minor({"USD": (3, 2)})
    (8500, 150)
    """
    return max(1, reference_minor(_CENTS, "USD", weights))


def amount_rules(weights: Weights, usual_most_minor: int = 0) -> tuple[Rule, ...]:
    """The two rules for these weights; `usual_most_minor` is an amount that is still usual, reference minor units.

    A platform whose usual amounts are larger has larger bounds: the rules are for what it has never seen.
    """
    dollar = dollar_minor(weights)
    unproven = max(UNPROVEN_DOLLARS * dollar, usual_most_minor)
    anybody = max(ANY_DOLLARS * dollar, usual_most_minor * (ANY_DOLLARS // UNPROVEN_DOLLARS))
    return (
        Rule(
            "large_amount_unproven_payer",
            (("amount_reference_minor", ">", unproven), ("payer_count_30d", "<", PROVEN_PAYMENTS)),
            "review",
            "A payer with little history pays a very large or unknown amount.",
        ),
        Rule(
            "very_large_amount",
            (("amount_reference_minor", ">", anybody),),
            "challenge",
            "The amount is far above what is usual, or unknown.",
        ),
    )
