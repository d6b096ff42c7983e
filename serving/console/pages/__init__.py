"""The pages as values, and the wording of features, amounts and times; pure.

Never reads the ledger.
"""
