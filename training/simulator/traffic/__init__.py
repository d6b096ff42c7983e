"""Honest payments of the simulated world, outcomes and labels of payments, and the traffic calendar.

Never knows a fraud typology.
"""
