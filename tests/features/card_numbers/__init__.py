"""Card numbers: what is found, what is left alone, and their tokens."""
