"""The page's handlers, called as Gradio calls them, without server or browser."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from app_doubles import STEPS, new_studio
from asyrp.app.studio import Studio

pytest.importorskip("gradio", reason="needs Gradio: pip install 'asyrp[app]'")
pytestmark = pytest.mark.filterwarnings("default")  # Gradio's own

import gradio as gr  # noqa: E402

from asyrp.app import layout  # noqa: E402
from asyrp.app.editing_tab import Editing  # noqa: E402
from asyrp.app.page import build  # noqa: E402
from asyrp.app.training_tab import Learning  # noqa: E402

ANN, BOB = (SimpleNamespace(session_hash=name) for name in ("ann", "bob"))
INPUTS = ("slider", "number", "checkbox", "checkboxgroup", "textbox", "uploadbutton")


class Bench:
    """Components and handlers, and what the page would show."""

    def __init__(self, studio: Studio):
        with gr.Blocks(analytics_enabled=False):
            self.shown, self.asked = layout.editor(studio.top)
            self.trainer, self.cards = layout.trainer(), gr.HTML("")
        self.studio = studio
        self.editing = Editing(studio, self.shown, self.asked)
        self.learning = Learning(studio, self.trainer, self.asked.chosen, self.cards)
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
        return [self.state.get(c, c.value) for c in self.asked.values]

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
    bench.run(bench.editing.upload(request, str(path)))


def test_from_a_picture_to_downloads(bench: Bench, tmp_path: Path) -> None:
    bench.run(bench.editing.begin(ANN))
    upload(bench, tmp_path, ANN, "red")
    assert "red.png" in bench.text(bench.shown.stage)
    bench.run(bench.editing.choose(ANN, ["own: strange", "own: odd"]))
    assert bench.values()[6:9] == [999, 400, 150]
    bench.run(bench.editing.edit(ANN, *bench.values()))
    assert f"of {STEPS} steps anew" in bench.text(bench.shown.message)
    bench.run(bench.editing.measure(ANN))
    assert "polyline" in bench.text(bench.shown.curves)
    bench.run(bench.editing.strip(ANN, *bench.values()))
    for name in ("edit.png", "strip.png", "original.png", "run.json"):
        assert f'download="{name}"' in bench.text(bench.shown.links)


def test_a_direction_keeps_its_strength_when_another_goes(bench: Bench) -> None:
    bench.run(bench.editing.choose(ANN, ["own: odd", "own: strange"]))
    bench.state[bench.asked.slots[1]] = -0.5
    updates = bench.editing.choose(ANN, ["own: strange"])
    hidden, kept = (updates[slot] for slot in bench.asked.slots[:2])
    assert hidden["visible"] is False
    assert (kept["visible"], "value" in kept) == (True, False)
    assert kept["label"] == "face → strange face"


def test_curves_keep_the_marks_of_the_last_edit(bench: Bench, tmp_path: Path) -> None:
    upload(bench, tmp_path, ANN, "red")
    measuring = iter(bench.editing.measure(ANN))
    next(measuring)
    bench.run(bench.editing.choose(ANN, ["own: strange"]))
    bench.run(bench.editing.edit(ANN, *bench.values()))
    bench.run(measuring)  # begun before the marks moved, ended after
    assert "from t = 700 to t = 400" in bench.text(bench.shown.curves)


def test_errors_are_told_on_the_page(bench: Bench, tmp_path: Path) -> None:
    bench.run(bench.editing.upload(ANN, "/etc/passwd"))
    assert "uploaded here" in bench.text(bench.shown.message)
    assert "passwd" not in bench.text(bench.shown.message)
    bench.run(bench.editing.pick(ANN, 3))
    assert "that face is gone" in bench.text(bench.shown.message)
    bench.run(bench.editing.draw(ANN, None))
    assert "whole number" in bench.text(bench.shown.message)
    upload(bench, tmp_path, ANN, "red")
    bench.run(bench.editing.strip(ANN, *bench.values()))
    assert "needs a direction" in bench.text(bench.shown.message)
    bench.run(bench.learning.start(ANN, "face", "", 8, 1, 0))
    assert "target text" in bench.text(bench.trainer.message)


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
        bench.run(bench.learning.start(ANN, "face", "smile", 16, 1, 0))
        assert told in bench.text(bench.trainer.message)
        monkeypatch.setattr(bench.studio, "draw", failing)
        bench.run(bench.editing.draw(ANN, 1))
        assert told in bench.text(bench.shown.message)
    monkeypatch.setattr(bench.studio, "train", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.run(bench.learning.start(ANN, "face", "smile", 16, 1, 0))


def test_training_on_the_page(bench: Bench) -> None:
    steps = bench.learning.start(ANN, "face", "smile", 16, 1, 0)
    for updates in steps:
        bench.run(updates)
        if "training" in bench.text(bench.trainer.bar) if bench.trainer.bar in bench.state else "":
            bench.learning.stop(ANN)
    assert "Stopped" in bench.text(bench.trainer.message)
    bench.run(bench.learning.resume(BOB))
    assert "nothing was stopped here" in bench.text(bench.trainer.message)
    bench.run(bench.learning.resume(ANN))
    assert "Finished" in bench.text(bench.trainer.message)
    assert "<img" in bench.text(bench.trainer.preview)
    bench.run(bench.learning.gallery(ANN))
    assert bench.text(bench.cards).count("<article") == 3


def test_every_control_of_the_page_has_a_label(bench: Bench) -> None:
    components = within_a_loop(build, bench.studio).get_config_file()["components"]
    controls = [c for c in components if c["type"] in INPUTS]
    assert len(controls) > 15
    assert [c for c in controls if not (c["props"].get("label") or "").strip()] == []
