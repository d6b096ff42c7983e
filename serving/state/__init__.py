"""The fold of the ledger's events: startup, feedback, snapshots, the bundle watcher.

Never knows HTTP.
"""
