"""The ledger of the production profile: sessions, schema, the walk over its events.

Never knows SQLite.
"""
