"""The domain's types: a payment and its vocabulary, money, UTC offsets, the feature contract.

Imports nothing of ours but the errors.
"""
