"""A simulated payment world: people, places, habits, seasons, nine fraud stories and a shopping festival.

Simulated payments prove machinery, not detection: frauds and features were drawn by people who had read the same
advisories, so a figure measured here says nothing about how much real fraud would be found.
"""
