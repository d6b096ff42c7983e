"""The rehearsal of 11/11: a simulated night against the real service, open loop, beside a normal day.

Simulated payments: the rehearsal proves that the machinery stands the rush, not how much real fraud it would find.
"""
