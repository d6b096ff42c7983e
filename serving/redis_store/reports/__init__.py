"""The reports that wait in Redis for a payment which is not known yet; they expire, and the ledger has them too.

It moves bytes and never decides whether a report counts.
"""
