"""Masked bases predicted from their surroundings, without labels: windows -> masks -> trunk and reader -> loss."""
