"""One fold of payments with three carriers: in memory, in bulk replay, in Redis strings.

Never knows Feast.
"""
