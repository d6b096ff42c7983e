"""Who may call: API keys, their permissions and rates, and what a service without keys refuses.

Never knows a payment.
"""
