"""Bytes to a `Payment`: parse, validate, replace clear card numbers by tokens, pseudonymise.

Never knows a feature's value.
"""
