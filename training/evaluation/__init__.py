"""Metrics and the report of a model in a later period.

Never knows MLflow.
"""
