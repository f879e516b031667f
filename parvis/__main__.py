"""`python -m parvis`: the same as the command `parvis`."""

from parvis.command import main

main()
