"""Past payments as a table: its schema, its normalisation, its parquet files.

Never knows the kernel.
"""
