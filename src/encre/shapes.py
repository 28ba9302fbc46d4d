"""The axis glossary: every docstring and annotation in encre uses these letters.

====  ==================================================================================
axis  meaning
====  ==================================================================================
N     sequences, elements or rows of a whole table
B     sequences of one batch
L     bases of a sequence, padded to the longest of its batch
W     bases of a fixed-width window
T     tokens: ``L - k + 1`` for overlapping k-mers at stride 1
D     features (channels) of a trunk
K     tasks, in the order of the model's ``TaskSet``
S     signal tracks
====  ==================================================================================

Codes are ``uint8``: A 0, C 1, G 2, T 3, N 4 (and padding, beyond ``length``, is 4 as well).
Coordinates are 0-based half-open everywhere; only a region string such as ``chr1:1,001-2,000`` is
1-based inclusive, and :meth:`encre.genome.intervals.Interval.from_region` is where it changes.
"""

CODE_LETTERS = "ACGTN"
N_CODE = 4
