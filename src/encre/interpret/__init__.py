"""What a model has learnt: contributions of bases, motifs, and sequences designed to a target."""
