"""One fold of payments in three forms: in memory, in bulk replay, in Redis strings.

Never knows Feast.
"""
