"""Redis: connections, scripts, keys, stream entries, idempotency records.

Never decides.
"""
