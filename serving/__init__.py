"""What we decide: the scoring service, its ledger and receipts, the review desk."""

from features.settings import silence_telemetry

silence_telemetry()
