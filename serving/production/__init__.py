"""The production profile: state, idempotency and stream in Redis, ledger and cases in PostgreSQL."""
