"""Starts, supervises and ends the processes of the production profile.

Never decides.
"""
