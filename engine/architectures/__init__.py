"""Networks by name: classics that are built in, and those of timm, torchvision and transformers."""

from engine.architectures.build import build, closest, names
from engine.architectures.built import Built
from engine.architectures.export import program
from engine.architectures.library import LIBRARIES

__all__ = ["LIBRARIES", "Built", "build", "closest", "names", "program"]
