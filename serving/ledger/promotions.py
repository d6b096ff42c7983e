"""Which bundles decided, according to the ledger; an event that cannot be read is skipped."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from features.catalogue.catalogue import Catalogue, catalogue, catalogue_of
from serving.ledger.event_bodies import PromotionEvent, decode_promotion
from serving.ledger.reader import LedgerReader
from serving.model import bundle_archive


def promotions(ledger: LedgerReader) -> list[PromotionEvent]:
    """Every readable promotion, in the order of the ledger."""
    found = []
    for event in ledger.of_kind("promotion"):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, TypeError):
            found.append(decode_promotion(event.body))
    return found


def catalogue_at(promotion: PromotionEvent, bundles: Path) -> Catalogue:
    """The catalogue of a promoted bundle, of which `bundles` holds a copy.

    Raises: BrokenBundle.
    """
    return catalogue_of(bundle_archive.kept_bundle(bundles, promotion.bundle, promotion.policy).contract)


def latest_catalogue(ledger: LedgerReader, bundles: Path) -> Catalogue:
    """The catalogue of the bundle that decides; the default one before the first promotion.

    Raises: BrokenBundle.
    """
    known = promotions(ledger)
    return catalogue_at(known[-1], bundles) if known else catalogue()
