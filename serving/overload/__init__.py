"""The optional fast path, the admission queue and load shedding.

The API never imports it.
"""
