"""An exported program becomes a graph of ordinary ``nn`` modules: ``graph`` walks, ``layers`` builds them."""

from engine.lift.arguments import bind
from engine.lift.graph import lift

__all__ = ["bind", "lift"]
