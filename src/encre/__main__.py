"""``python -m encre`` (and ``torchrun -m encre``) is the command line."""

from encre.cli.main import main

if __name__ == "__main__":
    main()
