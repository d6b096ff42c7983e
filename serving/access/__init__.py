"""API keys with their scopes and rates, and the calls that a service without keys refuses.

Never knows a payment.
"""
