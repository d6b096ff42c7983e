"""What a feature is: declarations, sentences, units, and the features computed from the payment alone.

Never knows how window state is stored.
"""
