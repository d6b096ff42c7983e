"""The engine of the production profile: state and stream in Redis, ledger in PostgreSQL.

Never writes to PostgreSQL: the recorder does.
"""
