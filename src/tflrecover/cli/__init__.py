"""The command line."""

from tflrecover.cli.commands import app, main

__all__ = ["app", "main"]
