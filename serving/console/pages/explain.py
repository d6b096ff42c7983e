"""The wording of reasons and features of one decision; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from features.catalogue.catalogue import Catalogue, Feature
from features.domain.payment import ENTITIES
from serving.console.pages.pages import FeatureFamily, FeatureRow, ReasonLine
from serving.console.pages.wording import number, plain, quantity
from serving.decision.reasons import Reason
from serving.decision.receipt import Receipt, vector_of
from serving.errors import BrokenReceipt

#: Why a feature that reads no entity's history can be missing, by its group.
_MISSING = {"request": "not sent", "attribute": "not sent", "profile": "no profile", "ratio": "no history"}


def reason_lines(reasons: Sequence[Reason], catalogue: Catalogue | None) -> tuple[ReasonLine, ...]:
    """The reasons as lines, in the order of the answer; bars are relative to the strongest."""
    strongest = max((abs(r.contribution) for r in reasons if r.contribution is not None), default=0.0)
    return tuple(_reason_line(reason, strongest, catalogue) for reason in reasons)


def _reason_line(reason: Reason, strongest: float, catalogue: Catalogue | None) -> ReasonLine:
    feature = None
    if catalogue is not None and reason.feature is not None and reason.feature in catalogue.index:
        feature = catalogue.features[catalogue.index[reason.feature]]
    signal = reason.feature if feature is None else feature.sentence.rstrip(".")
    if reason.value is None:
        value = None if signal is None else "not known"
    else:
        value = number(reason.value)
        if feature is not None and catalogue is not None:
            value = worded(feature, reason.value, catalogue)
    weight = bar = None
    if reason.contribution is not None:
        weight = f"{reason.contribution:+.2f}".replace("-", "−")
        bar = 100 * abs(reason.contribution) / strongest if strongest > 0 else 0.0
    return ReasonLine(reason.text, signal, value, weight, round(bar or 0.0, 1), reason.code)


def worded(feature: Feature, value: float, catalogue: Catalogue) -> str:
    """A feature's value in words and units."""
    for attribute in catalogue.parameters.attributes:
        if feature.group == "attribute" and feature.name == f"attr_{attribute.name}" and attribute.categories:
            code = int(value)
            return attribute.categories[code] if 0 <= code < len(attribute.categories) else "other"
    codes = {"rail": catalogue.rail_codes, "channel": catalogue.channel_codes}.get(feature.name, {})
    word = next((word for word, code in codes.items() if code == value), None)
    if word is not None:
        return plain(word)
    return quantity(value, feature.unit, catalogue.parameters.reference_currency)


def feature_families(
    receipt: Receipt, catalogue: Catalogue | None, in_reasons: set[str]
) -> tuple[tuple[FeatureFamily, ...], str | None]:
    """The vector as served, grouped by story, and a note where it cannot be shown."""
    try:
        vector = vector_of(receipt)
    except BrokenReceipt as error:
        return (), error.message
    if vector is None:
        return (), "No features were read for this decision; it was made without them."
    if catalogue is None or len(vector) != len(catalogue.features):
        return (), (
            f"Scored with the feature catalogue {receipt.features[:12]}, which this version of the desk cannot build: "
            "its columns cannot be named here. The receipt holds the vector."
        )
    stories: dict[str, list[FeatureRow]] = {}
    for feature, value in zip(catalogue.features, vector.tolist(), strict=True):
        row = FeatureRow(
            feature.sentence,
            feature.name,
            None if math.isnan(value) else worded(feature, value, catalogue),
            missing_word(feature, receipt.seen),
            feature.name in in_reasons,
        )
        stories.setdefault(feature.typology, []).append(row)
    families = []
    for story, rows in stories.items():
        known = sum(row.value is not None for row in rows)
        families.append(
            FeatureFamily(
                plain(story).capitalize().replace("Qr ", "QR "),
                f"{known} of {len(rows)} known",
                any(row.in_reason for row in rows),
                tuple(rows),
            )
        )
    return tuple(sorted(families, key=lambda family: not family.opened)), None


def missing_word(feature: Feature, seen: Sequence[int]) -> str:
    """Why a feature is missing: its party was not sent, or has no such history."""
    if feature.entity is None:
        return _MISSING.get(feature.group, "not known")
    place = ENTITIES.index(feature.entity)
    if place < len(seen) and seen[place] < 0:
        return "not sent"
    return "no history"
