"""One training run: the pipeline, its MLflow record, the registry gate, the bento.

Never speaks to a running service.
"""
