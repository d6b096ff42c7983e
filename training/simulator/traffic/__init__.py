"""Honest payments of the simulated world, what becomes of them, and the calendar they follow.

Never knows a fraud typology.
"""
