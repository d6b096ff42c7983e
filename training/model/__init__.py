"""Split, fit, calibrate, and thresholds from costs.

Never knows MLflow.
"""
