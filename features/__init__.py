"""What was known at a moment: payments, the feature catalogue, the window kernel, the Feast store."""
