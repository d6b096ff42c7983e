"""From score, rules and policy to a decision and its receipt; pure.

Never does input or output.
"""
