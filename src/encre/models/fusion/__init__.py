"""Signal tracks beside the sequence: bins -> tracks -> tokens, features or vector of the model (one file a way)."""
