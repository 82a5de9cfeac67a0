import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_reports import THRESHOLD, data_audit, make_report, shortcut_audit
from matplotlib.figure import Figure

from keras_pneumo.evaluation.style import as_png

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLORS = """() => ["body", ".lead", "figcaption", "nav a", ".kind"].map(
    (name) => getComputedStyle(document.querySelector(name)).color
)"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = next(filter(None, map(shutil.which, BROWSERS)), driver.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip(f"no browser found: neither {', '.join(BROWSERS)} nor playwright's own")
        browser = driver.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(predictions, tmp_path_factory):
    """A report with everything in it, and with names that are long."""
    report = make_report(
        model="runs/" + "a_long_name_without_a_space_" * 4,
        threshold=replace(THRESHOLD, interval=(0.2, 0.6)),
        predictions={
            "validation": predictions["validation"],
            "another_hospital": replace(
                predictions["test"], patient_id=predictions["validation"].patient_id
            ),
        },
        temperature=1.5,
        prevalence=0.1,
        resamples=20,
        recipe={"settings": {"weights": "resnet50_imagenet_conv1_to_conv4.weights.h5"}, "n": 1},
        data_audit=data_audit(),
        shortcuts=shortcut_audit(),
        pictures={"Training curves": as_png(Figure(figsize=(9, 2), dpi=144))},
        allow_shared_patients=True,
    )
    folder = report.save(tmp_path_factory.mktemp("saved") / "report")
    return (folder / "report.html").as_uri()


def opened(browser, address, **how):
    page = browser.new_page(**how)
    page.goto(address)
    return page


def luminance(color):
    channels = np.array(re.findall(r"[\d.]+", color)[:3], float) / 255
    # https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_fits_asks_for_nothing_and_complains_about_nothing(browser, address, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    images = page.evaluate(
        "[...document.images].map((one) => [one.alt.trim().length, one.naturalWidth, one.width])"
    )
    assert len(images) == 8
    assert all(min(one) > 0 for one in images)
    page.close()


def test_day_and_night_differ_and_both_can_be_read(browser, address):
    backgrounds = []
    for scheme in ("light", "dark"):
        page = opened(browser, address, color_scheme=scheme)
        background = page.evaluate(BACKGROUND)
        body, *others = (contrast(color, background) for color in page.evaluate(COLORS))
        # https://www.w3.org/TR/WCAG22/#contrast-enhanced and #contrast-minimum
        assert body >= 7
        assert min(others) >= 4.5
        backgrounds.append(luminance(background))
        page.close()
    assert backgrounds[0] > 0.9
    assert backgrounds[1] < 0.05


def test_it_prints_on_white_paper_even_at_night(browser, address):
    page = opened(browser, address, color_scheme="dark")
    pdf = page.pdf(format="A4", print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 5
    page.emulate_media(media="print")
    background = page.evaluate(BACKGROUND)
    assert luminance(background) == pytest.approx(1)
    assert min(contrast(color, background) for color in page.evaluate(COLORS)) >= 4.5
    page.close()
