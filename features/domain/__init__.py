"""A payment and the words it is made of: fields, money, UTC offsets, the feature contract.

Imports nothing of ours but the errors.
"""
