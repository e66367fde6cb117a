"""The page's handlers, called as Gradio calls them, without server or browser."""

import asyncio
import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from app_doubles import STEPS, finish, new_studio
from asyrp.app.pictures import Picture
from asyrp.app.studio import Studio
from asyrp.method.editing_interval import EditInterval
from conftest import noise

pytest.importorskip("gradio", reason="needs Gradio: pip install 'asyrp[app]'")
pytestmark = pytest.mark.filterwarnings("default")  # Gradio's own

import gradio as gr  # noqa: E402

from asyrp.app import layout  # noqa: E402
from asyrp.app.editing_tab import Editing  # noqa: E402
from asyrp.app.handling import Desk  # noqa: E402
from asyrp.app.jobs import CHECKPOINT, Job  # noqa: E402
from asyrp.app.opening_tab import Opening  # noqa: E402
from asyrp.app.page import build  # noqa: E402
from asyrp.app.training import Progress, Scorers, TrainingData, gather  # noqa: E402
from asyrp.app.training_tab import Clock, Learning  # noqa: E402

ANN, BOB = (SimpleNamespace(session_hash=name) for name in ("ann", "bob"))
INPUTS = ("slider", "number", "checkbox", "checkboxgroup", "textbox", "uploadbutton")


class Bench:
    """Components and handlers, and what the page would show."""

    def __init__(self, studio: Studio):
        with gr.Blocks(analytics_enabled=False):
            desk = Desk(studio, layout.Editor(studio.top))
            self.cards = gr.HTML("")
            self.learning = Learning(desk, self.cards)
        self.studio, self.page, self.report = studio, desk.page, desk.page.report
        self.editing = Editing(desk)
        self.opening = Opening(desk, self.editing)
        self.state: dict[Any, Any] = {}

    def run(self, answer: Any) -> "Bench":
        """Apply updates as the browser does."""
        for updates in [answer] if isinstance(answer, dict) else answer:
            for component, value in updates.items():
                given = value.get("value") if isinstance(value, dict) else value
                if given is not None:
                    self.state[component] = given
        return self

    def values(self) -> list[Any]:
        return [self.state.get(c, c.value) for c in self.page.values]

    def text(self, component: Any) -> str:
        return str(self.state[component])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return within_a_loop(Bench, new_studio(tmp_path))


def within_a_loop(make: Any, *values: Any) -> Any:
    """Gradio makes an event loop, and never closes it, where none is running."""

    async def made() -> Any:
        return make(*values)

    return asyncio.run(made())


def upload(bench: Bench, tmp_path: Path, request: Any, color: str) -> None:
    (tmp_path / "uploads").mkdir(exist_ok=True)
    path = tmp_path / "uploads" / f"{color}.png"
    Image.new("RGB", (20, 20), color).save(path)
    bench.run(bench.opening.upload(request, str(path)))


def test_from_a_picture_to_downloads(bench: Bench, tmp_path: Path) -> None:
    bench.run(bench.opening.begin(ANN))
    upload(bench, tmp_path, ANN, "red")
    assert "red.png" in bench.text(bench.page.stage)
    bench.run(bench.editing.choose(ANN, ["own: strange", "own: odd"]))
    assert bench.values()[6:9] == [999, 400, 150]
    bench.run(bench.editing.edit(ANN, *bench.values()))
    assert "Edited in" in bench.text(bench.report.message)
    bench.run(bench.editing.measure(ANN))
    assert "polyline" in bench.text(bench.page.curves)
    bench.run(bench.editing.strip(ANN, *bench.values()))
    for name in ("edit.png", "strip.png", "original.png", "run.json"):
        assert f'download="{name}"' in bench.text(bench.page.links)


def test_a_direction_keeps_its_strength_when_another_goes(bench: Bench) -> None:
    bench.run(bench.editing.choose(ANN, ["own: odd", "own: strange"]))
    bench.state[bench.page.slots[1]] = -0.5
    updates = bench.editing.choose(ANN, ["own: strange"])
    hidden, kept = (updates[slot] for slot in bench.page.slots[:2])
    assert hidden["visible"] is False
    assert (kept["visible"], "value" in kept) == (True, False)
    assert kept["label"] == "Strength of face → strange face"


def test_curves_keep_the_marks_of_the_last_edit(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    measuring = iter(bench.editing.measure(ANN))
    assert [next(measuring), next(measuring)][0] == gr.skip()
    bench.run(bench.editing.choose(ANN, ["own: strange"]))
    bench.run(bench.editing.edit(ANN, *bench.values()))
    bench.run(measuring)  # begun before the marks moved, ended after
    assert "from t = 700 to t = 400" in bench.text(bench.page.curves)


def test_errors_are_told_on_the_page(bench: Bench, tmp_path: Path) -> None:
    bench.run(bench.opening.upload(ANN, "/etc/passwd"))
    assert "uploaded here" in bench.text(bench.report.message)
    assert "passwd" not in bench.text(bench.report.message)
    bench.run(bench.opening.pick(ANN, SimpleNamespace(number=3)))
    assert "that face is gone" in bench.text(bench.report.message)
    bench.run(bench.opening.draw(ANN, None))
    assert "whole number" in bench.text(bench.report.message)
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.strip(ANN, *bench.values()))
    assert "needs a direction" in bench.text(bench.report.message)
    bench.run(bench.learning.start(ANN, "face", "", 8, 1, 0, False))
    assert "target text" in bench.text(bench.learning.report.message)
    bench.run(bench.learning.start(ANN, "face", "smile", 8, 1, 0, True))
    assert "no region is known for" in bench.text(bench.learning.report.message)


def test_what_the_machine_refuses_is_told_and_the_page_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [
        OSError(28, "No space left on device"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ]
    for error, told in zip(errors, ("No space left", "out of memory"), strict=True):

        def failing(*_: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(bench.studio, "train", failing)
        bench.run(bench.learning.start(ANN, "face", "smile", 16, 1, 0, False))
        assert told in bench.text(bench.learning.report.message)
        monkeypatch.setattr(bench.studio, "draw", failing)
        bench.run(bench.opening.draw(ANN, 1))
        assert told in bench.text(bench.report.message)
    monkeypatch.setattr(bench.studio, "train", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.run(bench.learning.start(ANN, "face", "smile", 16, 1, 0, False))


def test_an_error_outlasts_the_edit_that_was_under_way(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    walk = bench.editing.edit(ANN, *bench.values())
    for _ in range(3):
        bench.run(next(walk))
    bench.run(bench.opening.pick(ANN, SimpleNamespace(number=99)))
    assert "that face is gone" in bench.text(bench.report.message)
    bench.run(walk)
    assert bench.studio.sessions.get("ann").made is not None
    assert "that face is gone" in bench.text(bench.report.message)


def test_nothing_is_made_of_a_picture_while_the_next_one_opens(
    bench: Bench, tmp_path: Path
) -> None:
    upload(bench, tmp_path, ANN, "red")
    session = bench.studio.sessions.get("ann")
    opening = bench.studio.open(session, Picture("next", noise(3, 16, 16)))
    next(opening)
    before = bench.text(bench.page.compare)
    bench.run(bench.editing.edit(ANN, *bench.values()))
    bench.run(bench.editing.measure(ANN))
    assert (session.made, session.curves) == (None, None)
    assert bench.text(bench.page.compare) == before
    finish(opening)
    bench.run(bench.editing.edit(ANN, *bench.values()))
    assert session.made is not None


def test_the_time_left_is_that_of_the_pace_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, now = Clock(), iter((0.0, 1.0, 10.0, 400.0, 401.0))
    monkeypatch.setattr("asyrp.app.training_tab.time", SimpleNamespace(monotonic=lambda: next(now)))
    told = [clock.left(Progress("training: batch", done, 30)) for done in (0, 5, 10, 20)]
    assert told == ["", "", ", 20 s left", ", 3 min left"]
    assert clock.left(Progress("editing held-out faces", 5, 30)) == ""


def test_training_on_the_page(bench: Bench) -> None:
    steps = bench.learning.start(ANN, "face", "smile", 16, 1, 0, False)
    for updates in steps:
        bench.run(updates)
        if any(bench.studio.folder.glob(f"*{CHECKPOINT}")):
            elsewhere = bench.learning.listed(BOB)  # a window of somebody else, or after a reload
            ((running, _),) = elsewhere[bench.learning.known]["choices"]
            assert running.startswith("face → smile")
            assert "(running: training" in running
            assert elsewhere[bench.learning.halt]["interactive"]
            bench.learning.stop(ANN)
            break
    bench.run(steps)
    assert "Stopped" in bench.text(bench.learning.report.message)
    bench.run(bench.learning.resume(BOB, None))
    assert "nothing was stopped here" in bench.text(bench.learning.report.message)
    ((title, stem),) = bench.learning.listed(BOB)[bench.learning.known]["choices"]
    assert "face → smile" in title
    assert "interrupted" in title
    bench.run(bench.learning.resume(BOB, stem))  # from another window
    told = bench.learning.listed(ANN)
    assert told[bench.learning.known]["choices"] == []
    assert not told[bench.learning.known]["visible"]
    assert not told[bench.learning.halt]["interactive"]
    assert "Finished" in bench.text(bench.learning.report.message)
    assert "No judge" in bench.text(bench.learning.report.message)
    assert "<img" in bench.text(bench.learning.preview)
    bench.run(bench.learning.gallery(ANN))
    assert bench.text(bench.cards).count("<article") == 3


def test_every_control_of_the_page_has_a_label(bench: Bench) -> None:
    components = within_a_loop(build, bench.studio).get_config_file()["components"]
    controls = [c for c in components if c["type"] in INPUTS]
    assert len(controls) > 15
    assert [c for c in controls if not (c["props"].get("label") or "").strip()] == []


def test_an_error_stays_until_the_next_action(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.edit(ANN, *bench.values()))
    text = tmp_path / "uploads" / "text.png"
    text.write_text("no picture")
    bench.run(bench.opening.upload(ANN, str(text)))
    bench.run(bench.editing.follow(ANN, *bench.values()))
    bench.run(bench.editing.measure(ANN))
    assert "is none that can be read" in bench.text(bench.report.message)
    assert "red.png" in bench.text(bench.page.stage)
    upload(bench, tmp_path, ANN, "blue")
    bench.run(bench.editing.follow(ANN, *bench.values()))
    assert "is none that can be read" not in bench.text(bench.report.message)


def test_a_handler_always_answers(bench: Bench) -> None:
    assert list(bench.editing.measure(ANN)) == [gr.skip()]  # none would empty its outputs
    assert next(iter(bench.editing.edit(ANN, *bench.values()))) == gr.skip()


def test_before_and_after_never_shows_the_last_picture(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.edit(ANN, *bench.values()))
    red = bench.text(bench.page.compare).split('src="')[1].split('"')[0]
    path = tmp_path / "uploads" / "blue.png"
    Image.new("RGB", (20, 20), "blue").save(path)
    for updates in bench.opening.upload(ANN, str(path)):
        if bench.run(updates).page.stage in updates:
            assert red not in bench.text(bench.page.compare)
            assert 'class="after"' not in bench.text(bench.page.compare)


def test_marks_that_edit_nothing_are_told(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.choose(ANN, ["own: odd"]))
    bench.state |= {bench.page.marks[0]: 300, bench.page.marks[1]: 600}
    bench.run(bench.editing.edit(ANN, *bench.values()))
    assert "t_edit (600) lies above t_start (300)" in bench.text(bench.report.message)


def test_a_strip_says_the_strengths_it_shows(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.choose(ANN, ["own: odd"]))
    bench.state[bench.page.slots[0]] = 2.0
    bench.run(bench.editing.strip(ANN, *bench.values()))
    labels = bench.text(bench.page.strip).split("<figcaption>")[1]
    assert labels.startswith("<span>-2</span><span>-1</span><span>0</span><span>1</span>")
    bench.run(bench.editing.choose(ANN, ["own: odd", "own: strange"]))
    bench.run(bench.editing.strip(ANN, *bench.values()))
    assert "<figcaption><span>×-1</span>" in bench.text(bench.page.strip)


def test_undo_goes_back_to_the_edit_before(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.choose(ANN, ["own: odd"]))
    for strength in (1.0, -0.5):
        bench.state[bench.page.slots[0]] = strength
        bench.run(bench.editing.edit(ANN, *bench.values()))
    bench.run(bench.editing.undo(ANN))
    assert bench.values()[0] == 1.0
    bench.run(bench.editing.follow(ANN, *bench.values()))
    assert bench.studio.sessions.get("ann").made.plan.doses[0].attribute.strength == 2.0
    bench.run(bench.editing.undo(ANN))
    assert "no earlier edit" in bench.text(bench.report.message)


def test_a_run_json_repeats_its_edit(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.choose(ANN, ["own: strange", "own: odd"]))
    bench.state |= {bench.page.slots[1]: -0.75, bench.page.marks[1]: 450, bench.page.seed: 9}
    bench.run(bench.editing.edit(ANN, *bench.values()))
    first, asked = bench.studio.sessions.get("ann").made, bench.values()
    links = bench.text(bench.page.links).split('download="run.json" href="')[1]
    path = tmp_path / "uploads" / "run.json"
    path.write_bytes(base64.b64decode(links.split("base64,")[1].split('"')[0]))
    bench.run(bench.opening.upload(BOB, str(path)))
    assert "its picture" in bench.text(bench.report.message)  # of somebody else
    bench.run(bench.editing.choose(ANN, []))
    bench.state |= {bench.page.slots[1]: 2.0, bench.page.seed: 0}
    bench.run(bench.opening.upload(ANN, str(path)))
    assert bench.values() == asked
    bench.run(bench.editing.follow(ANN, *bench.values()))
    again = bench.studio.sessions.get("ann").made
    assert again is not first
    assert torch.equal(again.image, first.image)


def test_what_is_no_run_json_is_refused_in_a_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir(exist_ok=True)
    path = tmp_path / "uploads" / "run.json"
    for content in ("{", "[]", "{}", '{"options": {"directions": [{"file": 3}]}}'):
        path.write_text(content)
        bench.run(bench.opening.upload(ANN, str(path)))
        assert "run.json" in bench.text(bench.report.message)
        assert str(tmp_path) not in bench.text(bench.report.message)


def test_another_domain_begins_anew(bench: Bench, tmp_path: Path) -> None:
    bench.studio.name = "one"
    other = new_studio(tmp_path / "other", directions=False)
    other.name = "two"
    bench.studio.others = {"two": lambda: other}
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.choose(ANN, ["own: odd"]))
    bench.run(bench.opening.enter(ANN, "three"))
    assert "not offered" in bench.text(bench.report.message)
    bench.run(bench.opening.enter(ANN, "two"))
    assert "of two" in bench.text(bench.report.message)
    assert "<img" not in bench.text(bench.page.stage)
    session = bench.studio.sessions.get("ann")
    assert (session.work, set(session.slots)) == (None, {None})
    assert bench.studio.of("two") is other
    assert other.sessions is bench.studio.sessions


def test_a_domains_own_interval_is_trained_on(bench: Bench) -> None:
    job = Job("face", "smile", faces=8, passes=1, steps=STEPS)

    def gathered(tools: Scorers) -> TrainingData:
        steps = gather(tools, job)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found: TrainingData = stop.value
                return found

    tools = bench.studio.tools
    own = EditInterval(700, 300)
    assert gathered(tools._replace(interval=own)).phases == own
    assert gathered(tools).phases != own
