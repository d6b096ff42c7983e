"""The Feast stores: offline, online, the client of both, and the repository of definitions.

Serving never imports it.
"""
