"""The model: trees, exact SHAP contributions, bundles on disk.

Never knows a policy.
"""
