"""Sockets and HTTP below the application: bounds, drain, acceptors, headers.

Never knows a payment.
"""
