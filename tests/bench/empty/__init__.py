"""What BentoML itself costs: an endpoint that decides nothing, tuned the way ours is."""
