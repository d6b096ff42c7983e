"""What we decide: the scoring service, its ledger and receipts, the review desk."""
