"""Bytes to a `Payment`: parse, validate, refuse clear card numbers, pseudonymise.

Never knows a feature's value.
"""
