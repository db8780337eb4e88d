"""``python -m tflrecover``: the command line."""

from tflrecover.cli import main

main()
