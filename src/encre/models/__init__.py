"""Models: ``(codes (B, L) uint8, length (B,)) -> trunk -> features (B, D, T) -> pooling -> one head a group -> logits (B, K)``.

One architecture a file; padding never moves a logit; weights are safetensors, nothing is pickled.
"""
