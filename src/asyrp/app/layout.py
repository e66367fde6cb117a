"""The components of the page, in the order in which they are seen and read out."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from asyrp.app import charts, views
from asyrp.app.plans import STRONGEST
from asyrp.app.sessions import SLOTS, Marks
from asyrp.app.training import Progress

Updates = dict[Any, Any]
HEADER = (
    '<header class="masthead"><h1>asyrp</h1>'
    "<p>Edit faces with directions in the bottleneck of a frozen diffusion model.</p></header>"
)
FILE_TYPES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".json"]
MARK_HELP = {
    "t_start": "Editing begins here; the paper's is T.",
    "t_edit": "Editing ends here. Lower edits more.",
    "t_boost": "Below it noise is added, which sharpens.",
}


class Report:
    """The bar and the line of a tab: how far its work is, and what came of it."""

    def __init__(self, tab: str, text: str):
        self.bar = gr.HTML(views.IDLE, elem_id=f"{tab}-bar")
        self.message = gr.HTML(views.message(text), elem_id=f"{tab}-message")

    def at(self, one: Progress, more: str = "") -> Updates:
        """How far a job is."""
        return {self.bar: views.bar(one.what + more, one.done, one.total)}

    def told(self, text: str, error: bool = False) -> Updates:
        """A line, and no work under way."""
        return {self.message: views.message(text, error), self.bar: views.IDLE}


def strength(label: str, **more: Any) -> Any:
    """A slider for the strength of a direction."""
    return gr.Slider(-STRONGEST, STRONGEST, 1.0, step=0.05, label=label, **more)


def count(most: range, value: int, label: str, step: int = 1, **more: Any) -> Any:
    """A slider for a number of things."""
    return gr.Slider(most[0], most[-1], value, step=step, label=label, **more)


def seed(label: str, **more: Any) -> Any:
    """A field for a seed."""
    return gr.Number(0, label=label, precision=0, minimum=0, **more)


def hint(text: str) -> None:
    """A line of help."""
    gr.HTML(f'<p class="hint">{text}</p>')


def heading(text: str) -> None:
    """A heading of a part of the page."""
    gr.HTML(f"<h2>{text}</h2>", elem_classes="heading")


def clicked(name: str) -> str:
    """JavaScript: a click on one of an element's buttons selects the `number` in its data-NAME."""
    return f"""
element.addEventListener('click', (event) => {{
  const button = event.target.closest('button[data-{name}]');
  if (button) trigger('select', {{number: Number(button.dataset.{name})}});
}});
"""


class Editor:
    """The tab that edits; page.css places its parts.

    top: the highest timestep. domains: the one at work comes first.
    """

    def __init__(self, top: int, domains: Sequence[str] = ()):
        with gr.Row(elem_id="bench"):
            with gr.Column(elem_id="pictures"):
                self._edit()
            with gr.Column(elem_id="controls"):
                self.domain = gr.Dropdown(
                    list(domains),
                    value=next(iter(domains), None),
                    label="Domain: what the network knows",
                    visible=len(domains) > 1,
                    elem_id="domain",
                    filterable=False,
                )
                self._picture()
                heading("Directions")
                label = f"Up to {SLOTS} together, each with a strength of its own"
                self.chosen = gr.CheckboxGroup([], label=label, elem_id="directions")
                with gr.Accordion("Advanced: phases, noise, seeds", open=False, elem_id="advanced"):
                    self._phases(top)
                    self._noise()

    @property
    def shown(self) -> list[Any]:
        """What shows the picture and what became of it."""
        report = (self.report.bar, self.report.message)
        return [self.stage, self.compare, *report, self.curves, self.strip, self.links]

    @property
    def values(self) -> list[Any]:
        """The inputs that `plans.controls` reads."""
        return [*self.slots, *self.marks, self.boost, self.seed]

    def _edit(self) -> None:
        with gr.Row(elem_id="look"):
            self.compare = gr.HTML(views.compare(), elem_id="compare")
            self.stage = gr.HTML(views.stage(), elem_id="stage")
        gr.HTML(views.SPLIT, elem_id="split-range")
        self.slots = [
            strength(f"Strength {n}", visible=False, elem_id=f"strength-{n}")
            for n in range(1, SLOTS + 1)
        ]
        self.report = Report("edit", "Choose a face, or upload one.")
        with gr.Row():
            self.undo = gr.Button("Undo", size="md", min_width=80)
            self.make_strip = gr.Button("Make a strip of strengths", size="md", min_width=200)
        self.strip = gr.HTML("", elem_id="strip", elem_classes="preview")
        self.links = gr.HTML(views.links({}), elem_id="links")

    def _picture(self) -> None:
        heading("Picture")
        self.faces = gr.HTML(views.faces([]), elem_id="faces", js_on_load=clicked("face"))
        with gr.Row():
            self.upload = gr.UploadButton(
                "Upload", file_types=FILE_TYPES, elem_id="upload", size="md", min_width=100
            )
            self.draw = gr.Button("Draw random faces", size="md", min_width=160)
        hint("A picture, or the run.json of an edit to repeat it.")

    def _phases(self, top: int) -> None:
        hint(
            "A walk goes from t = T (noise) to 0 (the picture). Directions act from t_start to "
            "t_edit: early, they change shapes, late, details."
        )
        marks = Marks(top, 0, 0)
        self.curves = gr.HTML(charts.curves(None, marks, top), elem_id="curves")
        self.marks = [
            gr.Slider(0, top, t, step=1, label=name, info=MARK_HELP[name], elem_id=name, buttons=[])
            for name, t in marks._asdict().items()
        ]
        self.own = gr.Button("Back to the directions' own marks", size="sm")

    def _noise(self) -> None:
        self.boost = gr.Checkbox(
            True, label="Quality boosting", info="Adds noise below t_boost.", elem_id="boost"
        )
        with gr.Row():
            self.seed = seed("Seed of the noise", min_width=110, elem_id="seed")
            self.draw_seed = seed("Seed of the random faces", min_width=110)
