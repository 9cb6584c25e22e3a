"""A real browser without a window, for tests that look at a page: Chromium or Chrome by Selenium.

`conftest.py` makes a fixture of it, `browser`; a test calls `browser.open(path or address)` and
then asks, with `problems()` and `requests()`, what the page did.
"""

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, in a container
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    # WebGL on the processor, where there is no GPU.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


class Browser:
    """A browser that a test drives; `driver` is Selenium's, for all that is not here."""

    def __init__(self, driver):
        self.driver = driver

    def open(
        self, page: str | Path, *, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        """Opens a file or an address in a window of this size and colour scheme.

        Movement is reduced: a page that scrolls smoothly may not have arrived when it is clicked.
        """
        address = page if "://" in str(page) else Path(page).resolve().as_uri()
        preferences = {"color-scheme": "dark" if dark else "light", "reduced-motion": "reduce"}
        features = [{"name": f"prefers-{n}", "value": v} for n, v in preferences.items()]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._drain()
        self.driver.get(str(address))

    def command(self, name: str, **parameters):
        """Calls a method of the Chrome DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments):
        """Returns what a script on the page returns (`return ...`)."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str):
        """Returns the first element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def wait(self, condition: str, seconds: float = 20.0):
        """Waits until a JavaScript expression is truthy, and returns its value.

        Raises:
            selenium.common.TimeoutException: it never was.
        """
        from selenium.webdriver.support.ui import WebDriverWait

        message = f"{condition} was never true; problems: {self.problems()}"
        return WebDriverWait(self.driver, seconds, 0.05).until(
            lambda driver: driver.execute_script(f"return {condition}"), message
        )

    def problems(self) -> list[str]:
        """Returns warnings and errors on the console since the page was opened, or last asked."""
        return [f"{entry['level']} {entry['message']}" for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Returns the addresses asked for since the page was opened, or last asked."""
        events = (
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        )
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def picture(self, selector: str | None = None) -> np.ndarray:
        """Returns a screenshot of the window, or of one element, as (H, W, 3) uint8."""
        data = (
            self.find(selector).screenshot_as_png
            if selector
            else self.driver.get_screenshot_as_png()
        )
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def _drain(self) -> None:
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)


@contextlib.contextmanager
def start() -> Iterator[Browser]:
    """Starts a browser, and ends it; skips the test where there is none to start."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    chromedriver = shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("no browser: neither Chromium nor Chrome with its chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for argument in _ARGUMENTS:
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={profile}")
        # The driver is named: Selenium downloads one otherwise.
        service = webdriver.ChromeService(executable_path=chromedriver)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.get("about:blank")  # the browser's own first page, still loading, asks for much
            yield Browser(driver)
        finally:
            driver.quit()
