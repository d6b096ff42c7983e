"""How one payment is decided and recorded: the protocols, and what both profiles share.

Never knows HTTP.
"""
