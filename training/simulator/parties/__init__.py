"""Who takes part in the simulated world: payers and merchants.

Never makes a payment.
"""
