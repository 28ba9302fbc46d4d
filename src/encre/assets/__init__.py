"""Data and models that the package carries; see the README of each folder."""
