"""What a report finds out besides its figures, each section in a module of its own; ``gather.py`` asks them all."""
