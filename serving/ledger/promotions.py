"""Which bundles decided, according to the ledger; an event that cannot be read is skipped."""

from __future__ import annotations

import contextlib

import msgspec

from features.catalogue.catalogue import Catalogue, catalogue, catalogue_of
from serving.ledger.event_bodies import PromotionEvent, decode_promotion
from serving.ledger.reader import LedgerReader
from serving.model import bundle_archive
from serving.settings import Settings


def promotions(ledger: LedgerReader) -> list[PromotionEvent]:
    """Every readable promotion, in the order of the ledger."""
    found = []
    for event in ledger.of_kind("promotion"):
        with contextlib.suppress(msgspec.DecodeError, TypeError):
            found.append(decode_promotion(event.body))
    return found


def latest_catalogue(settings: Settings, ledger: LedgerReader) -> Catalogue:
    """The catalogue of the bundle that decides; the default one before the first promotion.

    Raises: BrokenBundle.
    """
    known = promotions(ledger)
    if not known:
        return catalogue()
    return catalogue_of(
        bundle_archive.kept_bundle(settings.var / "bundles", known[-1].bundle, known[-1].policy).contract
    )
