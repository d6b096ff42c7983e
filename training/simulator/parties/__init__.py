"""The parties of the simulated world: payers and payees.

Never makes a payment.
"""
