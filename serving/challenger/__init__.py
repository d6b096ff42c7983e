"""A challenger that scores what the champion decided, in a process of its own.

The engine knows its process only.
"""
