"""Decisions that were answered and that Redis has not taken yet: in memory and in a file, until each is recorded once.

Must never decide a payment, and never make one wait.
"""
