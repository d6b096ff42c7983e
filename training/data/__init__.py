"""From a source file to the point-in-time frame: source map, ingest, frame, slices.

Never knows MLflow.
"""
