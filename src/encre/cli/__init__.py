"""The command line: one module per group of verbs, no science; :func:`encre.cli.main.main` is the door."""
