"""The demo and the Handbook job: shows that use everything else.

Imported by the command line only.
"""
