"""`python -m inferloom.cli`: the command."""

from inferloom.cli.entry import main

main()
