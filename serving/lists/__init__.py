"""Block, allow and watch lists: entries, how they match, their events, and how both profiles change them.

Never decides about a payment, and never knows HTTP.
"""
