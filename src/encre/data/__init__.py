"""Elements into dataset folders, audited, and dataset folders into batches; NumPy and polars, never torch."""
