"""What a benchmark is fed: a bundle, payments as request bodies, copies of a ledger."""
