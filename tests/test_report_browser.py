"""The report in a browser: it plays, switches, sorts and draws, on a desk and on a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from evaluations import MODEL, evaluation, examples

from vqaudio.report import write_report

pytestmark = pytest.mark.slow

SECONDS = 4.0
SYSTEMS = (f"{MODEL}@1000", f"{MODEL}@4000", "opus@6000")
POSITION = "[...document.querySelectorAll('audio')].map(one => one.currentTime)"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report")
    write_report(evaluation(), examples(2, seconds=SECONDS, systems=SYSTEMS), out)
    return (out / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on the PATH: apt-get install chromium")
    arguments = ["--autoplay-policy=no-user-gesture-required"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which root has none of
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


class Visit:
    """A page, and all that it complained of or asked the network for."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._requested)
        self.address = address
        self.page.goto(address)

    def _requested(self, request: Any) -> None:
        if request.url != self.address and not request.url.startswith("data:"):
            self.complaints.append(request.url)


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    one = Visit(browser, address, viewport={"width": 1280, "height": 900})
    yield one
    assert one.complaints == []
    one.context.close()


def advances(page: Any, index: int, beyond: float) -> None:
    # Functions, not expressions: the page forbids eval.
    page.wait_for_function(
        "([index, beyond]) => document.querySelectorAll('audio')[index].currentTime > beyond",
        arg=[index, beyond],
        timeout=20_000,
    )


def test_every_sound_can_be_decoded(visit: Visit) -> None:
    durations = visit.page.evaluate(
        """Promise.all([...document.querySelectorAll('audio')].map(player => new Promise((done) => {
            player.onloadedmetadata = () => done(player.duration);
            player.onerror = () => done(player.error.message);
            player.load();
        })))"""
    )
    assert durations == [pytest.approx(SECONDS, abs=0.01)] * 8


def test_a_sound_plays_and_goes_on_in_another_system(visit: Visit) -> None:
    page = visit.page
    page.locator(".switch label").nth(0).click()
    page.keyboard.press(" ")
    advances(page, 0, 0.5)
    page.keyboard.press("3")
    advances(page, 2, 0.6)
    places = page.evaluate(POSITION)
    assert places[2] < SECONDS
    assert abs(places[2] - places[0]) < 2.5  # it went on since
    assert places[0] >= 0.5
    paused = page.evaluate("[...document.querySelectorAll('audio')].map(one => one.paused)")
    assert paused == [index != 2 for index in range(8)]
    page.keyboard.press(" ")
    stopped = page.evaluate(POSITION)[2]
    page.keyboard.press("ArrowRight")  # as in any group of radio buttons
    page.wait_for_function(
        "place => Math.abs(document.querySelectorAll('audio')[3].currentTime - place) < 0.01",
        arg=stopped,
    )
    assert page.evaluate("document.querySelectorAll('audio')[3].paused")
    assert page.locator(".take:visible .name strong").first.inner_text() == "Opus 6 kbit/s"


def test_only_one_example_plays(visit: Visit) -> None:
    page = visit.page
    for example in (0, 1):
        page.locator(".example").nth(example).locator(".switch label").nth(1).click()
        page.keyboard.press(" ")
        advances(page, 4 * example + 1, 0.1)
    playing = "[...document.querySelectorAll('audio')].findIndex(one => !one.paused)"
    assert page.evaluate(playing) == 5


def test_pictures_are_seen(visit: Visit) -> None:
    page = visit.page
    for plot in page.locator(".plot svg").all():
        box = plot.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
        assert plot.locator("path").count() > 20
    page.keyboard.press("2")
    images = page.locator(".take:visible img")
    assert images.count() == 3 + 1  # recorded, decoded, difference; the second example's first
    for image in images.all():
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.naturalWidth > 60", arg=image.element_handle())
    title = page.locator(".plot svg title").filter(has_text="speech-16k 4 kbit/s").first
    assert "(3." in title.text_content()


def test_headings_sort_by_keyboard(visit: Visit) -> None:
    page = visit.page
    heading = page.locator(".systems thead th").filter(has_text="STOI").first
    bitrates = page.locator(".systems tbody").first.locator("td:nth-child(2)").all_inner_texts()
    assert [float(text) for text in bitrates] == sorted(map(float, bitrates))
    column = page.evaluate("heading => heading.cellIndex", heading.element_handle())
    cells = page.locator(".systems tbody").first.locator(f"td:nth-child({column + 1})")
    heading.locator("button").focus()
    for key, order, downwards in (("Enter", "ascending", False), (" ", "descending", True)):
        page.keyboard.press(key)
        assert heading.get_attribute("aria-sort") == order
        values = [float(cell.get_attribute("data-value")) for cell in cells.all()]
        assert values == sorted(values, reverse=downwards)
    assert page.locator("[aria-sort]").count() == 1
    decibels = page.locator(".systems thead th").filter(has_text="SI-SDR")
    decibels.locator("button").press("Enter")
    last = page.locator(".systems tbody").first.locator("tr th").last
    assert last.inner_text() == "unprocessed"  # which has no value


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_screen(browser: Any, address: str, scheme: str, width: int) -> None:
    visit = Visit(browser, address, viewport={"width": width, "height": 740}, color_scheme=scheme)
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (brightness(paper) > brightness(ink)) == (scheme == "light")
    text = page.locator(".plot svg text").first
    assert page.evaluate("text => getComputedStyle(text).fill", text.element_handle()) != ink
    first = page.locator(".systems tbody th").first
    page.evaluate("document.querySelector('.scroll.wide').scrollLeft = 300")
    assert first.bounding_box()["x"] >= 0  # it stays in sight
    assert visit.complaints == []
    visit.context.close()


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


def test_it_can_be_read_without_scripts(browser: Any, address: str) -> None:
    visit = Visit(browser, address, java_script_enabled=False)
    assert visit.page.locator("audio:visible").count() == 8
    assert visit.page.locator(".switch:visible").count() == 0
    assert visit.page.locator(".systems tbody tr:visible").count() == 18
    visit.context.close()
