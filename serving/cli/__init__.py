"""Commands of the command line, apart from the first ones.

Holds no logic.
"""
