"""Outcomes and labels of payments: the issuer answers within seconds; labels are late, incomplete, sometimes wrong."""

from __future__ import annotations

import numpy as np

from training.data.arrays import Flags, Floats, Integers
from training.simulator.parameters import DAY_MS, World
from training.simulator.rows import LATE, TYPOLOGY_NAMES, Rows

HONEST_DECLINE_SHARE = 0.025
"""Share of honest payments that the issuer declines: no money, wrong PIN."""
REVERSED_SHARE = 0.004
OUTCOMES = ("authorised", "declined", "reversed")
SOURCES = ("customer_report", "chargeback", "network_alert", "review")
CUSTOMER, CHARGEBACK, NETWORK, REVIEW = range(4)
CHARGED_BACK = ("card testing", "stolen card", "bust-out merchant", "friendly fraud")
"""Typologies reported by chargeback or by the card network; customers report the others."""
NEVER_REPORTED, REPORTED_LEGITIMATE, REPORTED_FRAUD = range(3)
CLEARED_SHARE = 0.0008
"""Share of honest payments that were reviewed and confirmed."""


def outcomes(rows: Rows, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """(index in OUTCOMES, ms UTC) of each payment's outcome."""
    n = len(rows["time"])
    draw, open_yet = rng.random(n), rows["refused"] == LATE
    declined = np.where(open_yet, draw < HONEST_DECLINE_SHARE, rows["refused"] == 1)
    reversed_ = ~declined & (draw > 1.0 - REVERSED_SHARE)
    wait = np.where(reversed_, rng.integers(3_600_000, 5 * DAY_MS, n), rng.integers(150, 3_000, n))
    return np.where(declined, 1, np.where(reversed_, 2, 0)), np.asarray(rows["time"] + wait, np.int64)


def labels(rows: Rows, world: World, rng: np.random.Generator) -> tuple[Integers, Integers, Integers]:
    """(report, index in SOURCES, ms UTC) of each payment's label; NEVER_REPORTED if it has none."""
    n = len(rows["time"])
    fraud: Flags = rows["typology"] > 0
    charged = np.isin(rows["typology"], [TYPOLOGY_NAMES.index(name) for name in CHARGED_BACK])
    alert = charged & (rng.random(n) < 0.35)
    delay: Floats = rng.beta(1.1, 3.2, n) * 14.0
    delay = np.where(charged & ~alert, 10.0 + rng.beta(1.3, 3.5, n) * 50.0, delay)
    draw, wrong = rng.random(n), rng.random(n)
    reported = fraud & (draw < 1.0 - world.never_reported_share)
    cleared = reported & (wrong < world.wrong_label_share)
    # as many honest payments are labelled fraud as reported frauds are cleared
    false_reports = ~fraud & (wrong < world.wrong_label_share * world.fraud_share)
    confirmed = ~fraud & ~false_reports & (draw < CLEARED_SHARE)
    report = np.select(
        [(reported & ~cleared) | false_reports, cleared | confirmed],
        [REPORTED_FRAUD, REPORTED_LEGITIMATE],
        NEVER_REPORTED,
    )
    source = np.select([cleared | confirmed, alert, charged], [REVIEW, NETWORK, CHARGEBACK], CUSTOMER)
    when = np.asarray(rows["time"] + 60_000 + (delay * DAY_MS).astype(np.int64), np.int64)
    return report.astype(np.int64), source.astype(np.int64), when
