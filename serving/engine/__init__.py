"""Decides and records one payment: the protocols of engine, feedback and runtime, and what both profiles share.

Never knows HTTP.
"""
