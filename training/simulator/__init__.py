"""A simulated payment world: payers, merchants, habits, a calendar, nine fraud typologies and a shopping festival.

Simulated payments prove machinery, not detection: the authors of frauds and features read the same advisories, so a
figure measured here says nothing about how much real fraud would be found.
"""
