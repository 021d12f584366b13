"""Looks at the live page as a person would, in headless Chromium.

The Elixir test starts it with the address of the page and the token, and talks with it by lines: it
says what it has seen, and waits for a word where the test has to do something first. It ends with
status 0 when all was as it should be.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 30
DESKTOP = (1280, 900)
PHONE = (390, 844)


def tell(word: str) -> None:
    print(word, flush=True)


def ask(word: str) -> str:
    """Tells the test, and waits for what it says."""
    tell(word)
    return sys.stdin.readline().strip()


def browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        # Chromium refuses to make its sandbox for root.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Named, so that nothing is downloaded.
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


class Page:
    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self.logged: list[dict[str, object]] = []

    def open(self) -> None:
        self.driver.get(self.url)

    def until(self, what: str, condition):  # type: ignore[no-untyped-def]
        return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(
            lambda _driver: condition(), f"{what} was not seen within {PATIENCE} s"
        )

    def script(self, text: str, *arguments: object):  # type: ignore[no-untyped-def]
        return self.driver.execute_script(text, *arguments)

    def cells(self, section: str) -> list[list[str]]:
        """The texts of a table, row by row."""
        return self.script(
            "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent))",
            section,
        )

    def row(self, section: str, name: str) -> WebElement | None:
        """The row with that text in a cell: found in one step, as rows come and go."""
        return self.script(
            "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
            ".find((row) => [...row.cells].some((cell) => cell.textContent === arguments[1]))",
            section,
            name,
        )

    def connection(self) -> str:
        return self.driver.find_element(By.ID, "connection").text

    def wait(self, ms: int) -> None:
        self.driver.execute_async_script("setTimeout(arguments[1], arguments[0])", ms)

    def size(self, width: int, height: int, phone: bool = False) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": phone},
        )

    def scheme(self, name: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def screenshot(self, path: Path, longest: int) -> None:
        height = self.script("return document.documentElement.scrollHeight")
        width = self.script("return document.documentElement.clientWidth")
        self.size(width, min(height, longest), width < 500)
        # What has just arrived is still highlighted.
        self.until(
            "the end of all animations",
            lambda: not self.script("return document.getAnimations().length"),
        )
        picture = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "webp", "quality": 85}
        )
        path.write_bytes(base64.b64decode(picture["data"]))

    def errors(self) -> list[dict[str, object]]:
        """What was logged to the console since it was last asked for, without what is harmless."""
        return [
            entry
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]

    def origins(self) -> set[str]:
        """Who was asked for something."""
        urls = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(urlsplit(message["params"]["request"]["url"]))
        return {f"{url.scheme}://{url.netloc}" for url in urls if url.scheme != "data"}


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def see_tables(page: Page, failed: str) -> None:
    page.until("a live connection", lambda: page.connection() == "Live")
    for section, names in {
        "streams": ["train_model", "embed_documents", "tail_log"],
        "jobs": ["nightly_report", "predict"],
        "errors": ["charge_card", failed],
        "sessions": ["visitor-42"],
    }.items():
        for name in names:
            page.until(f"{name} among the {section}", lambda s=section, n=name: page.row(s, n))
    check(len(page.cells("workers")) == 2, "there are two workers")
    check(len(page.cells("pools")) >= 1, "there is a pool")
    check(page.script("return window.broken") is None, "a name must not run as a script")
    check("secret" not in page.driver.page_source, "arguments must not be shown")
    page.until(
        "a stream whose consumer is slow",
        lambda: "stalled" in str(page.cells("streams")),
    )

    for table in page.driver.find_elements(By.TAG_NAME, "table"):
        heads = table.find_elements(By.CSS_SELECTOR, "thead th[scope=col]")
        check(heads, "a table has headers")
        check(table.get_attribute("aria-labelledby"), "a table has a name")
    for button in page.driver.find_elements(By.CSS_SELECTOR, "#streams button"):
        check(button.accessible_name.startswith("Cancel the stream"), "a button says what it does")


def see_change(page: Page) -> None:
    """Rows change by themselves, and stay the elements they are."""

    def chunks() -> str:
        return next(row[2] for row in page.cells("streams") if row[0] == "train_model")

    page.script("window.kept = arguments[0]", page.row("streams", "train_model"))
    for _turn in range(2):
        before = chunks()
        page.until("a new number of chunks", lambda b=before: chunks() != b)
    check(page.script("return document.contains(window.kept)"), "a row is kept while it changes")

    ask("more")
    page.until("a session that has just begun", lambda: page.row("sessions", "visitor-43"))
    check(page.script("return document.contains(window.kept)"), "a row is kept when others come")


def cancel(page: Page, token: str) -> None:
    def press(name: str) -> None:
        page.row("streams", name).find_element(By.TAG_NAME, "button").click()

    dialog = page.driver.find_element(By.ID, "ask")
    field = page.driver.find_element(By.ID, "token")
    primary = page.driver.find_element(By.CSS_SELECTOR, "#ask .primary")

    press("train_model")
    page.until("the question for the token", dialog.is_displayed)
    page.driver.find_element(By.ID, "ask-back").click()
    page.until("the end of the question", lambda: not dialog.is_displayed())
    check(page.row("streams", "train_model"), "whoever goes back cancels nothing")

    press("train_model")
    page.until("the question again", dialog.is_displayed)
    field.send_keys("wrong")
    primary.click()
    page.until("that it was wrong", lambda: "not the token" in dialog.text)
    refused = page.errors()
    check(
        all("403" in str(entry["message"]) for entry in refused),
        f"only the refusal is logged: {refused}",
    )

    field.send_keys(token)
    primary.click()
    page.until("the end of the stream", lambda: page.row("streams", "train_model") is None)
    tell("cancelled train_model")

    # It is asked for once.
    press("tail_log")
    page.until("the end of the other stream", lambda: page.row("streams", "tail_log") is None)
    check(not dialog.is_displayed(), "the token is asked for once")
    tell("cancelled tail_log")


def see_on_a_phone(page: Page) -> None:
    page.size(*PHONE, phone=True)
    page.until("the narrow layout", lambda: page.script("return innerWidth") == PHONE[0])
    wide = page.script(
        "return [...document.querySelectorAll('body *')]"
        ".filter((node) => node.offsetParent && !node.closest('thead'))"
        ".filter((node) => node.getBoundingClientRect().right > innerWidth + 1)"
        ".map((node) => `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`)"
    )
    check(not wide, f"nothing is wider than a phone: {wide[:5]}")
    check(
        page.script("return document.documentElement.scrollWidth") <= PHONE[0],
        "nothing scrolls sideways",
    )
    row = page.row("workers", "ready") or page.driver.find_element(
        By.CSS_SELECTOR, "#workers tbody tr"
    )
    label = page.script("return getComputedStyle(arguments[0].cells[1], '::before').content", row)
    check("State" in label, "on a phone every value has its label")


def see_in_the_dark(page: Page) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    page.scheme("light")
    light = page.script(ground)
    page.scheme("dark")
    check(page.script(ground) != light, "there is a dark scheme")


def look_away(page: Page) -> None:
    """Nothing is asked for while nobody sees the page."""

    def looks() -> int:
        return page.script(
            "return performance.getEntriesByType('resource')"
            ".filter((entry) => entry.name.endsWith('/state.json')).length"
        )

    page.driver.minimize_window()
    # One may be on its way.
    page.wait(700)
    page.script("performance.clearResourceTimings()")
    # Time for three.
    page.wait(1_700)
    check(looks() == 0, f"a hidden page asks for nothing, but did so {looks()} times")

    page.driver.set_window_rect(0, 0, *DESKTOP)
    page.until("a look again", lambda: looks() > 0)


def see_it_go_and_come(page: Page) -> None:
    ask("stop")
    page.until("that the server is gone", lambda: page.connection().startswith("No answer"))
    page.errors()
    ask("start")
    page.until("that it is back", lambda: page.connection() == "Live")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("failed", help="a command with an error, whatever its name")
    parser.add_argument("--screenshots", type=Path)
    options = parser.parse_args()

    driver = browser()
    page = Page(driver, options.url)
    try:
        page.size(*DESKTOP)
        page.open()
        see_tables(page, options.failed)
        see_change(page)
        if options.screenshots:
            take_screenshots(page, options.screenshots)
        see_in_the_dark(page)
        see_on_a_phone(page)
        page.size(*DESKTOP)
        look_away(page)
        check(page.errors() == [], "nothing is wrong by the console")
        cancel(page, options.token)
        see_it_go_and_come(page)
        check(page.errors() == [], "nothing is wrong by the console when the server is back")
        origins = page.origins()
        check(origins == {options.url.rstrip("/")}, f"nobody else is asked for anything: {origins}")
        tell("done")
    finally:
        driver.quit()


def take_screenshots(page: Page, directory: Path) -> None:
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.size(*DESKTOP)
        page.screenshot(directory / f"live-page-{scheme}.webp", longest=2_000)
    page.scheme("light")
    page.size(*PHONE, phone=True)
    page.screenshot(directory / "live-page-phone.webp", longest=1_160)
    page.size(*DESKTOP)


if __name__ == "__main__":
    main()
