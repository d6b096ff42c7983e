"""Append and read events, in SQLite and PostgreSQL.

Never knows a desk.
"""
