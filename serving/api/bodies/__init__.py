"""The bodies of requests: read in time and within their bounds, out of their coding; batches and their deadline.

Must never decide, and never know a payment's fields.
"""
