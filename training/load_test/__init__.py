"""The load test (rehearsal of 11/11): a simulated night against the real service, open loop, and a normal day.

The payments are simulated: it proves that the service withstands the rush, not how much real fraud it would find.
"""
