"""A real browser at two widths, and what is asked of every page: no complaint, nothing an auditor finds, a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

OPERATOR = "an-operator-s-key-of-more-than-32-letters"
CHROMIUM = "/usr/bin/chromium"
ROOT = Path(__file__).parents[2]
AXE = ROOT / ".venv" / "js" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "test-artifacts" / "pages"
Width = Literal["desktop", "phone"]
SIZES: dict[Width, dict[str, int]] = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
SERIOUS = {"serious", "critical"}


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Visit:
    """One window on one service. ``complaints`` are what the browser has said against the pages."""

    def __init__(self, page: Page, width: Width) -> None:
        self.page = page
        self.width = width
        self.complaints: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def to(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def picture(self, name: str) -> None:
        """As it looks now, in light and in dark."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.screenshot(
                path=PICTURES / f"{name}-{self.width}-{scheme}.png", full_page=True, animations="disabled"
            )

    def fits(self) -> bool:
        """Whether nothing sticks out at the side."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))

    def audit(self) -> list[str]:
        """What axe finds serious, in light, and of the colours in dark; skips the test where there is no axe."""
        if not AXE.exists():
            pytest.skip("axe-core is not here; `make test` installs it where there is npm")
        found: list[str] = []
        self.page.evaluate(AXE.read_text())
        for scheme, rules in (("dark", {"runOnly": ["color-contrast"]}), ("light", {})):
            self.page.emulate_media(color_scheme=scheme)
            result: dict[str, Any] = self.page.evaluate("rules => axe.run(rules)", rules)
            found += [
                f"{scheme}: {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
                for rule in result["violations"]
                if rule["impact"] in SERIOUS
                for node in rule["nodes"]
            ]
        return found

    def holds(self, name: str) -> None:
        """What is asked of every page."""
        self.picture(name)
        assert self.fits(), f"{name} is wider than a {self.width}"
        found = self.audit()
        assert not found, "\n".join(found)


class Visits:
    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextmanager
    def of(self, url: str, width: Width = "desktop", **options: Any) -> Iterator[Visit]:
        context = self._browser.new_context(base_url=url, viewport=SIZES[width], reduced_motion="reduce", **options)
        context.set_default_timeout(30_000)
        try:
            yield Visit(context.new_page(), width)
        finally:
            context.close()
