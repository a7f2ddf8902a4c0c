"""Datasets: any accepted upload to one canonical form (``intake.py``), and that form to arrays (``prepare.py``)."""

from engine.data.split import Dataset, Pictures, Rows, Split, TokenIds

__all__ = ["Dataset", "Pictures", "Rows", "Split", "TokenIds"]
