"""State in a Redis Cluster: the steps of a script one after the other, each to the master of its slot.

Must never be needed by a single Redis.
"""
