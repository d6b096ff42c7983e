"""The compiled window kernel: plan, tiles, heap, one step for each payment.

Never does input or output.
"""
