"""From a run folder and sequences, regions or tables to a table of logits and calibrated probabilities."""
