"""The usual stitching of the same three tools, with their defaults: what riskgate is measured against."""
