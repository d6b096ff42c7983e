"""Upper bounds of the histograms' buckets."""

from __future__ import annotations

#: Seconds; fine in the usual range of latencies (0.2–20 ms), coarse beyond it.
MILLISECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.15, 0.5, 2.0)
#: Calibrated probabilities: most payments are near 0, most thresholds too.
PROBABILITIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
#: Sizes of commits and batches.
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
