"""The command line: every route of the service, and `pith run`, which does the whole thing."""

from pith.cli.root import main

__all__ = ["main"]
