"""Fold of the ledger's events: start, feedback, snapshots, the change of the bundle.

Never knows HTTP.
"""
