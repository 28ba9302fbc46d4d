"""Designing sequences: search, constraints, judges."""
