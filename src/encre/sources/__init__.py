"""Where elements come from: each source reads its own files strictly and returns one ``Elements`` with a ledger."""
