"""Metrics, logs and the dashboard.

Never knows HTTP.
"""
