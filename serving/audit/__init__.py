"""Readers of a whole ledger: verify, export, import of past payments.

The engine never imports it.
"""
