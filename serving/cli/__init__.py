"""Commands of keys, challengers and the production profile; the others are in `__main__`.

Holds no logic.
"""
