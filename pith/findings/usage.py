"""How an artifact is used: code that was run."""

from pydantic import Field

from pith.base import Frozen


class Usage(Frozen):
    """Code that loads one artifact and runs it on a sample; it was run where nothing but these packages was needed."""

    artifact: str
    needs: tuple[str, ...] = Field(description="Packages, as pip names them.")
    code: str
    printed: str = Field(description="What it printed when it was run.")
