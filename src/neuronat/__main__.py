"""`python -m neuronat`: the command line."""

from neuronat.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
