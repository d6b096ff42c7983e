"""What card numbers look like and what only looks like one: issuers' ranges, look-alikes, the digits of a text.

It must not know payments, tokens or keys.
"""
