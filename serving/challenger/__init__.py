"""A challenger that scores the champion's payments, in a process of its own.

The engine may only start that process.
"""
