"""`python -m apar` is the same as the command `apar`."""

from apar.cli import main

main()
