"""Sockets and HTTP below the application: bounds on requests, draining, acceptors, headers.

Never knows a payment.
"""
