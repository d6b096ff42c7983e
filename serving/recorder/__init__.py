"""From the Redis Stream to PostgreSQL: batches, labels, verdicts, imported history.

The engine never imports it.
"""
