"""The rules of outcomes and labels: what is read, what excludes what, which label is in force, which reports wait.

Pure: it never reads or writes a ledger, a state or a server.
"""
