"""The review desk: a small web console in which analysts decide about flagged payments.

Never touches state or model.
"""
