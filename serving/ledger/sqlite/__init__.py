"""The ledger of the embedded profile: one SQLite file with group commit.

Never knows PostgreSQL.
"""
