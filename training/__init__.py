"""Training: from a history of payments to a calibrated model, its policy and its report."""

from features.settings import silence_telemetry

silence_telemetry()
