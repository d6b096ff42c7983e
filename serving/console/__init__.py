"""The review desk: a small web console where people decide about flagged payments."""
