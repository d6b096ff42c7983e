"""The model: trees, exact SHAP contributions, the archive of bundles.

Never knows a policy.
"""
