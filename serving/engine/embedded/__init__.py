"""The engine of the embedded profile: state in memory, ledger in SQLite.

Needs no driver of a server.
"""
