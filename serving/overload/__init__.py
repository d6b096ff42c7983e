"""The optional fast path for plain payments, the admission queue and load shedding.

The API never imports it.
"""
