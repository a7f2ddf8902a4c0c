"""Figures as inline SVG: pure strings that need nothing else, in mail, on paper and in light and dark."""
