"""Judge a prediction table: metrics, calibration, intervals and paired comparison; pure functions, no torch."""
