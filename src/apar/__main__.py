"""`python -m apar` is the same as the command `apar`."""

from apar.cli import main

# Processes that vLLM starts import this module by another name.
if __name__ == "__main__":
    main()
