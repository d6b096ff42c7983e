"""Bounds that hold for all scoring processes of a service together: shares of them, agreed on through Redis.

A payment never waits for it: it reads numbers of this process. Decides nothing about a payment.
"""
