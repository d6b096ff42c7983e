"""Pages as values, and how features, amounts and times are worded; pure.

Never asks the ledger.
"""
