"""The components of the page, in the order in which they are seen and read out."""

from typing import Any, NamedTuple

import gradio as gr

from asyrp.app import charts, views
from asyrp.app.plans import STRONGEST
from asyrp.app.sessions import SLOTS, Marks
from asyrp.app.training import FEWEST, MOST, Job

HEADER = (
    '<header class="masthead"><h1>asyrp</h1>'
    "<p>Edit faces with directions in the bottleneck of a frozen diffusion model.</p></header>"
)
PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-face]');
  if (button) trigger('select', {face: Number(button.dataset.face)});
});
"""
FILE_TYPES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"]
MARK_HELP = {
    "t_start": "Editing begins here; the paper's is T.",
    "t_edit": "Editing ends here. Lower edits more.",
    "t_boost": "Below it noise is added, which sharpens.",
}


class Shown(NamedTuple):
    """What shows the picture."""

    stage: Any
    compare: Any
    bar: Any
    message: Any
    curves: Any
    strip: Any
    links: Any


class Asked(NamedTuple):
    """What says how to edit it."""

    faces: Any
    upload: Any
    draw: Any
    draw_seed: Any
    chosen: Any
    slots: tuple[Any, ...]
    marks: tuple[Any, ...]
    own: Any
    boost: Any
    seed: Any
    make_strip: Any

    @property
    def values(self) -> list[Any]:
        """The inputs that `plans.controls` reads."""
        return [*self.slots, *self.marks, self.boost, self.seed]


class Trainer(NamedTuple):
    """The page that trains."""

    source: Any
    target: Any
    faces: Any
    passes: Any
    seed: Any
    start: Any
    stop: Any
    resume: Any
    bar: Any
    message: Any
    preview: Any
    losses: Any


def fragment(content: str, name: str, **more: Any) -> Any:
    """A place for HTML of our own."""
    return gr.HTML(content, elem_id=name, **more)


def editor(top: int) -> tuple[Shown, Asked]:
    """The page that edits; page.css places its four parts."""
    with gr.Row(elem_id="bench"):
        with gr.Column(elem_id="pictures"):
            stage = fragment(views.stage(), "stage")
            bar = fragment(views.IDLE, "edit-bar")
            message = fragment(views.message("Choose a face, or upload one."), "edit-message")
        with gr.Column(elem_id="controls"):
            faces, upload, draw, draw_seed = _picture()
            chosen, slots = _directions()
            boost, seed = _boosting()
        with gr.Column(elem_id="halves"):
            compare = fragment(views.compare(None, None), "compare")
            fragment(views.SPLIT, "split-range")
        with gr.Column(elem_id="more"):
            curves, marks, own = _phases(top)
            make_strip, strip, links = _results()
    shown = Shown(stage, compare, bar, message, curves, strip, links)
    asked = Asked(
        faces, upload, draw, draw_seed, chosen, slots, marks, own, boost, seed, make_strip
    )
    return shown, asked


def heading(text: str) -> None:
    """A heading of a part of the page."""
    gr.HTML(f"<h2>{text}</h2>", elem_classes="heading")


def _picture() -> tuple[Any, Any, Any, Any]:
    heading("Picture")
    faces = fragment(views.faces([]), "faces", js_on_load=PICK)
    with gr.Row():
        upload = gr.UploadButton(
            "Upload", file_types=FILE_TYPES, elem_id="upload", size="md", min_width=100
        )
        draw = gr.Button("Draw random faces", size="md", min_width=180)
    draw_seed = gr.Number(0, label="Seed of the random faces", precision=0, minimum=0)
    return faces, upload, draw, draw_seed


def _directions() -> tuple[Any, tuple[Any, ...]]:
    heading("Directions")
    label = f"Up to {SLOTS} together, each with a strength of its own"
    chosen = gr.CheckboxGroup([], label=label, elem_id="directions")
    slots = tuple(
        gr.Slider(
            -STRONGEST,
            STRONGEST,
            1.0,
            step=0.05,
            label=f"Strength {number + 1}",
            visible=False,
            elem_id=f"strength-{number + 1}",
        )
        for number in range(SLOTS)
    )
    return chosen, slots


def _boosting() -> tuple[Any, Any]:
    heading("Noise")
    with gr.Row(equal_height=True):
        boost = gr.Checkbox(
            True, label="Quality boosting", info="Adds noise below t_boost.", elem_id="boost"
        )
        seed = gr.Number(
            0, label="Seed of the noise", precision=0, minimum=0, min_width=110, elem_id="seed"
        )
    return boost, seed


def _phases(top: int) -> tuple[Any, tuple[Any, ...], Any]:
    heading("Phases of the walk")
    marks = Marks(top, 0, 0)
    curves = fragment(charts.curves(None, marks, top), "curves")
    with gr.Row():
        sliders = tuple(
            gr.Slider(
                0,
                top,
                value,
                step=1,
                label=name,
                info=MARK_HELP[name],
                elem_id=name,
                buttons=[],
                min_width=180,
            )
            for name, value in marks._asdict().items()
        )
    own = gr.Button("Back to the directions' own marks", size="sm")
    return curves, sliders, own


def _results() -> tuple[Any, Any, Any]:
    heading("Strip over strengths")
    make_strip = gr.Button("Make a strip from -1 to 1.5 times the strengths", size="md")
    strip = fragment("", "strip", elem_classes="preview")
    heading("Download")
    return make_strip, strip, fragment(views.links({}), "links")


def trainer() -> Trainer:
    """The page that trains a direction from two texts."""
    job = Job("face", "smiling face")
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            source = gr.Textbox(job.source, label="Source text: what the faces show")
            target = gr.Textbox(
                "", label="Target text: what they should show", placeholder=job.target
            )
            faces = gr.Slider(FEWEST, MOST, job.faces, step=8, label="Random faces to train on")
            passes = gr.Slider(1, 10, job.passes, step=1, label="Passes over the faces")
            seed = gr.Number(job.seed, label="Seed of the faces", precision=0, minimum=0)
            with gr.Row():
                start = gr.Button("Train", variant="primary", min_width=90, elem_id="train")
                stop = gr.Button("Stop", variant="stop", min_width=90, interactive=False)
                resume = gr.Button("Resume", min_width=90, interactive=False)
        with gr.Column(scale=1, min_width=320):
            bar = fragment(views.IDLE, "train-bar")
            message = fragment(
                views.message("A direction takes one to some minutes."), "train-message"
            )
            preview = fragment("", "train-preview", elem_classes="preview")
            losses = fragment("", "train-losses")
    return Trainer(
        source, target, faces, passes, seed, start, stop, resume, bar, message, preview, losses
    )
