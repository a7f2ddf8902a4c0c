"""What the exporter does only once."""

from tests.exporter import one_table

__all__ = ["one_table"]
