"""The cases of the review desk: their rules, and their tables in SQLite and PostgreSQL.

Never knows a page.
"""
