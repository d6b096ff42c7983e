"""The ledger of the embedded profile: one SQLite file, written in groups.

Never knows PostgreSQL.
"""
