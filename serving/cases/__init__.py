"""The cases of the review desk: their rules and both tables.

Never knows a page.
"""
