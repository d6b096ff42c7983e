"""A Grafana dashboard of the metrics, and the table that explains them."""
