"""Effects of variants: reading, checking, windows, scores, p-values, writing."""
