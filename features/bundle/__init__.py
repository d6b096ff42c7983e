"""The bundle and the policy: the files that pass from training to serving.

Never opens a network connection.
"""
