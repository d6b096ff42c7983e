"""The demo and the Handbook job: programs that use all other rooms.

Imported by the command line only.
"""
