"""The page in a real browser: Debian's chromium, driven by Playwright."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from asyrp.commands.app import new_studio
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import TimestepDirection
from asyrp.options import App, Network

api = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright: pip install 'asyrp[browser]'"
)
server = pytest.importorskip("asyrp.app.server", reason="needs Gradio: pip install 'asyrp[app]'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("default"),
]
IMAGES = Path(__file__).parents[2] / "docs" / "images"
ASTRONAUT = IMAGES / "photographs" / "astronaut.jpg"
PATIENCE = 120_000  # ms, for a machine that does much else
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
ZOOMED = {"width": 640, "height": 450}  # DESK at 200 %
TABS = ("Train", "Discover", "Compare", "Directions", "Edit")
TITLE = "face → strange face"

LABELLED = """() => [...document.querySelectorAll('input, button, select, textarea, a[href]')]
  .filter(e => e.offsetParent !== null && !e.closest('[aria-hidden=true]'))
  .filter(e => !(e.getAttribute('aria-label') || e.innerText?.trim() || e.title || e.alt
    || e.labels?.length && [...e.labels].some(l => l.innerText.trim())
    || document.getElementById(e.getAttribute('aria-labelledby'))))
  .map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the server: pictures to send, and its directions."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def studio(place: Path) -> Any:
    """The studio of avatars-64 in few steps, with one direction of random numbers."""
    network, limits = Network(domain="avatars-64"), {"upload_megabytes": 8, "upload_megapixels": 24}
    studio = new_studio(App(directions=place / "directions", network=network, steps=14, **limits))
    model = studio.model
    generator = torch.Generator().manual_seed(1)
    shift = 0.4 * torch.randn(model.h_shape, generator=generator)
    table = TimestepDirection({pair.t: shift for pair in studio.grid if 500 <= pair.t <= 800})
    card = DirectionCard("face", "strange face", 500, 150, 14, model.fingerprint(), t_start=800)
    (place / "directions").mkdir()
    save_direction(place / "directions" / "strange.safetensors", table, card)
    return studio


@pytest.fixture(scope="module")
def address(studio: Any) -> Iterator[str]:
    with served(studio) as address:
        yield address


@pytest.fixture
def photographs(tmp_path: Path) -> Iterator[str]:
    """The address of `asyrp app` as it is without options."""
    with served(new_studio(App(directions=tmp_path))) as address:
        yield address


@contextmanager
def served(studio: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with server.serving(studio, "127.0.0.1", port) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens tabs of people who share nothing; requests to elsewhere fail the test."""
    contexts, strange = [], []

    def opened(size: dict[str, int] = DESK, where: str = address) -> Any:
        context = browser.new_context(viewport=size, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: strange.append(request.url))
        page.goto(where)
        page.wait_for_selector("#links a")  # the first face is edited
        return page

    yield opened
    for context in contexts:
        context.close()
    own = ("http://127.0.0.1:", "data:", "blob:")
    assert [url for url in strange if not url.startswith(own)] == []


def message(page: Any, part: str, name: str = "edit") -> str:
    """Wait until the page says something."""
    text = f"#{name}-message .message"
    api.expect(page.locator(text)).to_contain_text(part, timeout=PATIENCE)
    return str(page.inner_text(text))


def stays(page: Any, part: str) -> None:
    """What follows an upload that failed says nothing; nothing tells when it would have."""
    page.wait_for_timeout(1500)
    assert part in page.inner_text("#edit-message .message")


def pick(page: Any, face: int) -> None:
    page.click(f"button[data-face='{face}']")
    page.wait_for_selector(f"button[data-face='{face}'][aria-pressed=true]")
    message(page, "Reconstruction error")
    page.wait_for_selector("#compare img.after")


def source(page: Any, name: str) -> str:
    """The data of one of the three pictures."""
    return str(page.locator("#stage figure", has_text=name).locator("img").get_attribute("src"))


def edited(page: Any, act: Callable[[], Any]) -> float:
    """Do something that changes the edit; the seconds until the new one stands there."""
    before = source(page, "Edit")
    began = time.perf_counter()
    act()
    page.wait_for_function(
        "old => { const e = document.querySelectorAll('#stage figure img')[2];"
        " return e && e.src !== old && document.querySelector('#edit-bar .idle'); }",
        arg=before,
    )
    return time.perf_counter() - began


def advanced(page: Any) -> None:
    page.get_by_role("button", name="Advanced").click()
    page.locator("#curves svg").wait_for()


def choose(page: Any) -> None:
    """The direction of the tests alone."""
    for box in page.locator("#directions input:checked").all():
        edited(page, box.uncheck)
    edited(page, lambda: page.get_by_label(TITLE, exact=True).first.check())


def test_load_pick_move_and_download(tab: Any, tmp_path: Path) -> None:
    page = tab()
    assert page.evaluate(LABELLED) == []
    pick(page, 1)
    choose(page)
    assert source(page, "Edit") != source(page, "Reconstruction")
    slider = page.locator("#strength-1 input[type=range]")
    plus = source(page, "Edit")
    edited(page, lambda: slider.fill("-1"))
    assert source(page, "Edit") != plus
    page.get_by_role("button", name="Make a strip").click()
    page.get_by_role("link", name="Download strip").wait_for()
    found = {}
    for name in ("edit", "strip", "run.json"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {name}", exact=True).click()
        found[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(found[name])
    with Image.open(found["edit"]) as picture:
        assert picture.size == (64, 64)
        assert picture.info["Software"] == "edited with asyrp"
    with Image.open(found["strip"]) as picture:
        assert picture.size == (6 * 68, 68)
    record = json.loads(found["run.json"].read_text())["options"]
    assert record["picture"] == {
        "kind": "domain",
        "domain": "avatars-64",
        "split": "test",
        "index": 1,
    }
    assert [d["strength"] for d in record["directions"]] == [-1.0]


def test_a_new_strength_shows_within_a_second_and_a_half(tab: Any) -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > 2 * cores:
        pytest.skip(f"needs a machine that does little else; its load is {load:.1f}")
    page = tab()
    pick(page, 0)
    choose(page)
    advanced(page)
    page.wait_for_selector("#curves polyline")
    slider = page.locator("#strength-1 input[type=range]")
    values = ("0.5", "-0.5", "1.5", "-1.5", "2", "0.8")
    seconds = [edited(page, lambda v=value: slider.fill(v)) for value in values]  # type: ignore[misc]
    assert min(seconds) < 1.5, seconds  # the best of six: other work on the machine slows the rest


def test_upload(tab: Any, tmp_path: Path) -> None:
    page = tab()
    picture, large, text = (tmp_path / name for name in ("mine.png", "large.png", "not.png"))
    Image.new("RGB", (200, 100), (250, 200, 10)).save(picture)
    Image.new("1", (5000, 5000)).save(large)
    text.write_text("no picture")
    send = page.locator("input[type=file]").first
    send.set_input_files(picture)
    page.locator("#stage", has_text="mine.png").wait_for()
    page.wait_for_selector("#compare img.after")
    send.set_input_files(large)
    assert "24,000,000 pixels" in message(page, "may have at most")
    send.set_input_files(text)
    assert "/" not in message(page, "is none that can be read")
    page.locator("#stage", has_text="mine.png").wait_for()
    stays(page, "is none that can be read")
    camera = tmp_path / "camera.jpg"
    Image.effect_noise((5200, 4000), 9).save(camera, quality=50)
    send.set_input_files(camera)
    page.locator("#stage", has_text="camera.jpg").wait_for()
    message(page, "Reconstruction error")


def test_a_first_upload_that_is_no_picture_leaves_the_page_as_it_is(
    tab: Any, tmp_path: Path
) -> None:
    page, text = tab(), tmp_path / "not.png"
    text.write_text("no picture")
    page.locator("input[type=file]").first.set_input_files(text)
    message(page, "is none that can be read")
    stays(page, "is none that can be read")
    for place in ("#stage figure", "#compare .compare", "button[data-face]", "#directions"):
        assert page.locator(place).first.is_visible(), place


def test_a_photograph_on_drawn_faces_is_told_and_the_other_domain_offered(tab: Any) -> None:
    page = tab()
    page.locator("input[type=file]").first.set_input_files(ASTRONAUT)
    assert "use the domain photographs-64" in message(page, "drawn faces")
    pick(page, 0)
    assert "drawn faces" not in page.inner_text("#edit-message")


def test_a_strength_beyond_the_slider_becomes_the_strongest(tab: Any) -> None:
    page = tab()
    pick(page, 0)
    choose(page)
    number = page.locator("#strength-1 input[type=number]")
    edited(page, lambda: number.fill("50"))
    assert number.input_value() == "3"
    assert page.locator(".toast-body").count() == 0


def test_marks_move_by_hand_and_by_key(tab: Any) -> None:
    page = tab()
    pick(page, 2)
    choose(page)
    advanced(page)
    page.wait_for_selector("#curves polyline")
    before = page.locator("#t_edit input[type=number]").input_value()
    mark = page.locator("[data-mark=t_edit] circle")
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag() -> None:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 30, y, steps=5)
        page.mouse.up()

    edited(page, drag)
    moved = int(page.locator("#t_edit input[type=number]").input_value())
    assert 300 < moved < int(before) == 500
    label = page.locator("#curves svg").get_attribute("aria-label")
    assert f"to t = {moved}" in label
    slider = page.locator("#t_edit input[type=range]")
    slider.focus()
    edited(page, lambda: slider.press("PageDown"))
    assert int(page.locator("#t_edit input[type=number]").input_value()) < moved
    edited(page, lambda: page.get_by_role("button", name="Back to the directions").click())
    assert page.locator("#t_edit input[type=number]").input_value() == "500"


def test_everything_is_within_reach_of_the_keyboard(tab: Any) -> None:
    page = tab()
    page.locator("button[data-face='3']").focus()
    page.keyboard.press("Enter")
    message(page, "Reconstruction error")
    page.wait_for_selector("#compare img.after")
    page.get_by_label(TITLE, exact=True).first.focus()
    edited(page, lambda: page.keyboard.press("Space"))
    slider = page.locator("#strength-1 input[type=range]")
    slider.focus()
    edited(page, lambda: slider.press("ArrowLeft"))
    assert float(slider.input_value()) == pytest.approx(0.95)
    page.focus("#split")
    page.keyboard.press("Home")
    assert page.evaluate("document.documentElement.style.getPropertyValue('--split')") == "0%"
    assert page.locator("#edit-message .html-container").get_attribute("aria-live") == "polite"


def test_two_people_at_once_keep_their_pictures(tab: Any) -> None:
    ann, bob = tab(), tab()
    for page, face in ((ann, 0), (bob, 4)):
        page.click(f"button[data-face='{face}']")
    for page in (ann, bob):
        message(page, "Reconstruction error")
        page.wait_for_selector("#compare img.after")
        page.get_by_label(TITLE, exact=True).first.check()
    for page in (ann, bob):
        message(page, "Edited in")
    for page, face, other in ((ann, 0, bob), (bob, 4, ann)):
        own = page.locator(f"button[data-face='{face}'] img").get_attribute("src")
        assert source(page, "Original") == own
        assert source(page, "Edit") != source(other, "Edit")


def begin_training(page: Any, target: str) -> None:
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Target text").fill(target)
    page.get_by_label("number input for Random faces to train on").fill("8")
    page.get_by_label("number input for Passes over the faces").fill("3")
    page.get_by_role("button", name="Train", exact=True).click()


def test_train_stop_resume_and_use(tab: Any, place: Path) -> None:
    page = tab()
    begin_training(page, "smiling face")
    assert page.evaluate(LABELLED) == []
    page.wait_for_selector("#train-preview img")
    page.locator("#train-bar", has_text="training: batch 2").wait_for()
    page.get_by_role("button", name="Stop").click()
    message(page, "Stopped", "train")
    assert list((place / "directions").glob("smiling-face-*.checkpoint.safetensors"))
    page.get_by_role("button", name="Resume").click()
    message(page, "continuing", "train")
    message(page, "Finished", "train")
    assert list((place / "directions").glob("smiling-face-????????.safetensors"))
    assert not list((place / "directions").glob("smiling-face-*.checkpoint.safetensors"))
    page.get_by_role("tab", name="Directions").click()
    page.locator(".card", has_text="face → smiling face").locator("img").first.wait_for()
    page.get_by_role("tab", name="Edit").click()
    pick(page, 0)
    (own,) = (place / "directions").glob("smiling-face-????????.safetensors")
    edited(page, lambda: page.get_by_label(f"face → smiling face ({own.stem})").check())


def test_edits_of_unchosen_faces_are_judged_by_key(tab: Any, tmp_path: Path) -> None:
    page = tab()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("number input for Unchosen faces").fill("3")
    page.get_by_role("button", name="Begin").click()
    page.locator(".ballot li:visible").wait_for()
    assert violations(page) == []
    page.locator("#compare-message").click()  # away from the controls
    for key in "gbu":
        page.keyboard.press(key)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the answers").click()
    download.value.save_as(tmp_path / "answers.json")
    told = json.loads((tmp_path / "answers.json").read_text())
    assert [one["answer"] for one in told["answers"]] == ["good", "bad", "unsure"]
    assert sorted(one["face"] for one in told["answers"]) == [0, 1, 2]
    assert told["methods"]["A"]["strength"] == 1.0


def test_a_component_is_kept_with_one_click(tab: Any, place: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'asyrp[find]'")
    page = tab()
    page.get_by_role("tab", name="Discover").click()
    page.get_by_label("number input for Components").fill("2")
    page.get_by_label("number input for Samples to look at").fill("16")
    page.get_by_role("button", name="Discover", exact=True).click()
    page.locator(".rows li").nth(1).wait_for()
    page.locator(".rows button").first.click()
    message(page, "Kept as pca-0-1", "discover")
    (kept,) = (place / "directions").glob("pca-0-1-*.safetensors")
    page.get_by_role("tab", name="Edit").click()
    assert page.locator("#directions label").count() >= 2
    kept.unlink()


def test_a_closed_tab_stops_its_training(tab: Any, studio: Any) -> None:
    page = tab()
    begin_training(page, "sad face")
    page.locator("#train-bar", has_text="drawing faces").wait_for()
    assert studio._training.locked()
    page.close()
    stopped = time.monotonic() + PATIENCE / 1000
    while studio._training.locked() and time.monotonic() < stopped:
        time.sleep(0.2)
    assert not studio._training.locked()


def violations(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


STILL = "() => document.getAnimations().every(one => one.playState !== 'running')"
COVERED = """() => {
  const e = document.activeElement, b = e.getBoundingClientRect();
  if (e === document.body) return null;
  const seen = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2);
  const own = seen && (e.contains(seen) || seen.contains(e) || seen.closest('label'));
  return own ? '' : e.outerHTML.slice(0, 120);
}"""


@pytest.mark.parametrize("size", [DESK, PHONE, ZOOMED], ids=["desk", "phone", "zoomed"])
def test_every_tab_and_control_is_within_reach(tab: Any, size: dict[str, int]) -> None:
    page = tab(size)
    pick(page, 0)
    choose(page)
    widths = set()
    for name in TABS:
        page.get_by_role("tab", name=name, exact=True).click()
        panel = page.locator("[role=tabpanel]:visible").first
        panel.wait_for()
        page.wait_for_function(STILL)
        widths.add(round(panel.bounding_box()["width"]))
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert violations(page) == [], name
    assert len(widths) == 1
    advanced(page)
    assert violations(page) == []
    stops = []
    page.get_by_role("tab", name="Edit").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        page.wait_for_function(STILL)
        if (covered := page.evaluate(COVERED)) is None:
            break
        stops.append(covered)
    assert len(stops) > 20
    assert [stop for stop in stops if stop] == []


def test_screenshots_at_desktop_and_phone_width(tab: Any, photographs: str) -> None:
    """It begins with a face that is edited; then a photograph, in which it is put back."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for size, name in ((DESK, "app.png"), (PHONE, "app-phone.png")):
        page = tab(size, photographs)
        page.locator("input[type=file]").first.set_input_files(ASTRONAUT)
        page.locator("#stage", has_text="astronaut.jpg").wait_for()
        page.locator("#links").get_by_text("Download photograph").wait_for()
        smiling = page.get_by_label("face → smiling face", exact=True).first
        edited(page, lambda one=smiling: one.uncheck())  # type: ignore[misc]
        serious = page.get_by_label("face → serious face", exact=True).first
        edited(page, lambda one=serious: one.check())  # type: ignore[misc]
        page.get_by_role("button", name="Make a strip").click()
        page.wait_for_selector("#strip figcaption")
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=IMAGES / name)
        box = page.locator("#strength-1").bounding_box()
        assert box["y"] + box["height"] <= size["height"]  # the picture and its strength together


def test_a_photograph_is_put_back_with_its_edited_face(tab: Any, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="needs dlib: pip install 'asyrp[align]'")
    page = tab()
    page.get_by_label("Domain").click()
    page.get_by_role("option", name="photographs-64").click()
    page.get_by_label("face → serious face", exact=True).first.wait_for()  # none of drawn faces
    message(page, "Edited in")
    page.locator("input[type=file]").first.set_input_files(ASTRONAUT)
    page.locator("#stage", has_text="astronaut.jpg").wait_for()
    page.locator("#links").get_by_text("Download photograph").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download photograph").click()
    download.value.save_as(tmp_path / "photograph.jpg")
    with Image.open(tmp_path / "photograph.jpg") as after, Image.open(ASTRONAUT) as before:
        assert max(after.size) == min(1280, max(before.size))
    assert "drawn" not in page.inner_text("#edit-message")
