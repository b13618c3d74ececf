"""The report page, as a person sees and works it in a browser."""

import io
import re

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.bench import layouts
from tests.browser import Browser, find_browser
from vfimamba_cli.cli.app import app
from vfimamba_cli.video.still import encode_png

CLIPS = 8


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of eight triplets, the seventh, `7`, with a stain that no method can know of."""
    folder = tmp_path_factory.mktemp("page")
    layouts.write_ucf101(folder / "data", size=(96, 320), clips=CLIPS)
    truth = layouts.moving_picture(1, 96, 320, scene=6)
    truth[40:60, 270:290] = (255, 0, 0)
    (folder / "data/7/frame_01_gt.png").write_bytes(encode_png(truth))
    (folder / "<b> & methods").mkdir()  # a name that must not become markup
    made = folder / "<b> & methods/ucf101"
    for clip in range(1, CLIPS + 1):
        (made / f"{clip}").mkdir(parents=True)
        picture = layouts.moving_picture(1, 96, 320, scene=clip - 1)
        (made / f"{clip}/1.png").write_bytes(encode_png(picture))
    path = folder / "out.html"
    arguments = ["bench", "--dataset", "ucf101", "--data", str(folder / "data"), "--limit"]
    arguments += [str(CLIPS), "--model", "tiny", "--device", "cpu", "--report", str(path)]
    done = CliRunner().invoke(app, [*arguments, "--method", str(made.parent)])
    assert done.exit_code == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if find_browser() is None:
        pytest.skip("no Chromium here: the report page was not opened")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def pixels(png):
    with av.open(io.BytesIO(png)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_the_page_names_no_other_address(page):
    text = page.read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", text)
    assert "url(" not in text
    assert "@import" not in text
    assert "&lt;b&gt; &amp; methods" in text
    assert "<b>" not in text


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_from_disk_without_complaint_and_fits_the_screen(page, browser, width):
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page, width=width)
    assert [address for address in browser.requests if not address.startswith("data:")] == [
        page.as_uri()
    ]
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    sizes = browser.run("[...document.querySelectorAll('p')].map(p => p.offsetWidth)")
    assert max(sizes) <= width
    assert browser.run("parseFloat(getComputedStyle(document.body).fontSize)") >= 16
    names = browser.run("[...document.querySelectorAll('tbody')[0].rows].map(r => r.className)")
    assert names == ["", "", "", "published"]


def test_the_worst_clip_comes_first_at_the_place_of_its_worst_error(page, browser):
    browser.open(page, width=1280)
    numbers = browser.run("[...document.querySelectorAll('.numbers')].map(p => p.textContent)")
    assert len(numbers) == CLIPS
    values = [float(re.search(r"tiny ([\d.]+) dB", text)[1]) for text in numbers]
    assert values == sorted(values)
    headings = browser.run("[...document.querySelectorAll('h3')].map(h => h.textContent)")
    assert "ucf101: 7, frame 1" in headings
    titles = browser.run(
        "[...document.querySelector('select').options].map(option => option.textContent)"
    )
    assert titles[:3] == ["overlay of the given frames", "truth", "average"]
    assert [title for title in titles if title.startswith("error of")] == [
        f"error of {name}, x4" for name in titles[2:5]
    ]
    sources = browser.run("[...document.querySelectorAll('.stage img')].map(i => i.naturalWidth)")
    assert set(sources) == {256}


def test_two_pictures_are_compared_with_the_keyboard_alone(page, browser):
    browser.open(page, width=390)
    while browser.run("document.activeElement.tagName") != "SELECT":
        browser.press("Tab")
    browser.press("ArrowDown")
    chosen = "document.querySelector('.case select').selectedOptions[0].textContent"
    assert browser.run(chosen) == "average"
    shown = "[...document.querySelector('.stage').querySelectorAll('img')].filter("
    shown += "i => i.classList.contains('left')).map(i => i.alt)"
    assert browser.run(shown) == ["average"]
    browser.press("Tab")
    browser.press("Tab")
    assert browser.run("document.activeElement.type") == "range"
    browser.press("End")
    clip = "getComputedStyle(document.querySelector('.stage img.right')).clipPath"
    assert browser.run(clip) == "inset(0px 0px 0px 100%)"
    browser.press("Home")
    browser.press("ArrowRight")
    assert browser.run(clip) == "inset(0px 0px 0px 1%)"


def test_left_of_the_slider_the_left_picture_is_seen_and_right_of_it_the_right_one(page, browser):
    browser.open(page, width=390)
    box = browser.run(
        "(() => { const r = document.querySelector('.stage').getBoundingClientRect();"
        "scrollTo(0, scrollY + r.top);"
        "const s = document.querySelector('.stage').getBoundingClientRect();"
        "return [s.left, s.top, s.width, s.height]; })()"
    )
    left, top, width, height = map(round, box)
    views = {}
    for at in (0, 50, 100):
        browser.run(
            f"(() => {{ const s = document.querySelector('.case input'); s.value = {at};"
            "s.dispatchEvent(new Event('input')); })()"
        )
        shot = pixels(browser.screenshot())[top : top + height, left : left + width].astype(int)
        views[at] = shot[:, 4 : width // 2 - 4], shot[:, width // 2 + 4 : -4]
    assert np.abs(views[0][0] - views[100][0]).mean() > 3  # the pictures differ
    np.testing.assert_array_equal(views[50][0], views[100][0])
    np.testing.assert_array_equal(views[50][1], views[0][1])
