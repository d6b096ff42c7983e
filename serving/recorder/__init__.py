"""From the Redis Stream to PostgreSQL: batches, labels of verdicts, imported history.

The engine never imports it.
"""
