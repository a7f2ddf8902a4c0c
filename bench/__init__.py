"""Measurements against a peer or a limit in the same run: ``make bench``. Not tests: nothing here decides a build."""
