"""The ledger of the production profile: sessions, schema, reading.

Never knows SQLite.
"""
