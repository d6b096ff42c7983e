"""Which request this is: its id, its trace and its times, in replies, log lines and receipts.

Must never know a payment, a socket or a route.
"""
