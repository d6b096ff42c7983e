"""Faults under load: what was acknowledged is in the ledger once, and the state is the fold of the ledger."""
