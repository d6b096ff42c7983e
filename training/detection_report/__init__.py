"""Who is caught: a model judged on a written world by what really happened, story by story, out of time.

The world is simulated: what is measured here proves the machinery, not how much real fraud would be found.
"""
