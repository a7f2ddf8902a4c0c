"""The table of all settings in docs/operations.md: ``python -m tests.settings_table`` writes it anew."""

from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from app.settings import ApiSettings
from store.settings import Settings
from worker.settings import WorkerSettings

PAGE = Path(__file__).parents[1] / "docs/operations.md"
BEGIN, END = "<!-- settings: python -m tests.settings_table -->\n", "<!-- /settings -->\n"
READERS = {"every process": Settings, "API": ApiSettings, "workers": WorkerSettings}


def table() -> str:
    rows = [
        f"| `PITH_{name.upper()}` | {_default(field)} | {reader} | {(field.description or '').replace('|', '/')} |"
        for reader, settings in READERS.items()
        for name, field in settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | read by | meaning |", "|---|---|---|---|", *rows]) + "\n"


def rendered(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return "found out"
    if field.default in (None, (), PydanticUndefined):
        return "none"
    return ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
