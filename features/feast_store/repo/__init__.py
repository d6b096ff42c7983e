"""The Feast repository of riskgate: `feature_store.yaml` and the one file of definitions."""
