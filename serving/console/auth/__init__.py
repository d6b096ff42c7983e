"""Who may use the desk: users, permissions, sessions, throttling.

Never knows a page.
"""
