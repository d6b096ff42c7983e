"""The users of the desk: passwords, permissions, sessions, throttling.

Never knows a page.
"""
