"""Models: codes (B, L) -> trunk -> features (B, D, T) -> pooling -> (B, D) -> one head a task group -> logits (B, K).

One architecture a file; padding never moves a logit; weights are safetensors, nothing is pickled.
"""
