"""Offline work on a whole ledger: verify, export, import of past payments.

The engine never imports it.
"""
