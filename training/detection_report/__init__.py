"""The detection report: a model evaluated out of time on a simulated world, against the truth, by fraud typology.

The world is simulated: the figures prove the machinery, not how much real fraud would be found.
"""
