"""The only code of training that speaks to a running service.

Never imports serving.
"""
