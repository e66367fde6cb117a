"""The components of the page, in the order in which they are seen and read out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr

from asyrp.app import charts, views
from asyrp.app.jobs import FEWEST, MOST, Job
from asyrp.app.plans import STRONGEST
from asyrp.app.sessions import SLOTS, Marks

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
FILE_TYPES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".json"]
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

    domain: Any
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
    undo: Any

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
    known: Any


def editor(top: int, domains: Sequence[str] = ()) -> tuple[Shown, Asked]:
    """The page that edits; page.css places its parts. domains: the one at work comes first."""
    with gr.Row(elem_id="bench"):
        with gr.Column(elem_id="pictures"):
            with gr.Row(elem_id="look"):
                compare = gr.HTML(views.compare(), elem_id="compare")
                stage = gr.HTML(views.stage(), elem_id="stage")
            gr.HTML(views.SPLIT, elem_id="split-range")
            slots = tuple(_strength(number) for number in range(SLOTS))
            bar = gr.HTML(views.IDLE, elem_id="edit-bar")
            message = gr.HTML(
                views.message("Choose a face, or upload one."), elem_id="edit-message"
            )
            with gr.Row():
                undo = gr.Button("Undo", size="md", min_width=80)
                make_strip = gr.Button("Make a strip of strengths", size="md", min_width=200)
            strip = gr.HTML("", elem_id="strip", elem_classes="preview")
            links = gr.HTML(views.links({}), elem_id="links")
        with gr.Column(elem_id="controls"):
            domain = _domain(domains)
            faces, upload, draw = _picture()
            heading("Directions")
            label = f"Up to {SLOTS} together, each with a strength of its own"
            chosen = gr.CheckboxGroup([], label=label, elem_id="directions")
            with gr.Accordion("Advanced: phases, noise, seeds", open=False, elem_id="advanced"):
                curves, marks, own = _phases(top)
                boost, seed, draw_seed = _noise()
    shown = Shown(stage, compare, bar, message, curves, strip, links)
    return shown, Asked(
        domain, faces, upload, draw, draw_seed, chosen, slots, marks, own, boost, seed,
        make_strip, undo,
    )  # fmt: skip


def heading(text: str) -> None:
    """A heading of a part of the page."""
    gr.HTML(f"<h2>{text}</h2>", elem_classes="heading")


def _domain(domains: Sequence[str]) -> Any:
    return gr.Dropdown(
        list(domains),
        value=next(iter(domains), None),
        label="Domain: what the network knows",
        visible=len(domains) > 1,
        elem_id="domain",
        filterable=False,
    )


def _picture() -> tuple[Any, Any, Any]:
    heading("Picture")
    faces = gr.HTML(views.faces([]), elem_id="faces", js_on_load=PICK)
    with gr.Row():
        upload = gr.UploadButton(
            "Upload", file_types=FILE_TYPES, elem_id="upload", size="md", min_width=100
        )
        draw = gr.Button("Draw random faces", size="md", min_width=160)
    gr.HTML('<p class="hint">A picture, or the run.json of an edit to repeat it.</p>')
    return faces, upload, draw


def _strength(number: int) -> Any:
    return gr.Slider(
        -STRONGEST,
        STRONGEST,
        1.0,
        step=0.05,
        label=f"Strength {number + 1}",
        visible=False,
        elem_id=f"strength-{number + 1}",
    )


def _noise() -> tuple[Any, Any, Any]:
    boost = gr.Checkbox(
        True, label="Quality boosting", info="Adds noise below t_boost.", elem_id="boost"
    )
    with gr.Row():
        seed = gr.Number(
            0, label="Seed of the noise", precision=0, minimum=0, min_width=110, elem_id="seed"
        )
        draw_seed = gr.Number(
            0, label="Seed of the random faces", precision=0, minimum=0, min_width=110
        )
    return boost, seed, draw_seed


def _phases(top: int) -> tuple[Any, tuple[Any, ...], Any]:
    gr.HTML(
        '<p class="hint">A walk goes from t = T (noise) to 0 (the picture). Directions act from '
        "t_start to t_edit: early, they change shapes, late, details.</p>"
    )
    marks = Marks(top, 0, 0)
    curves = gr.HTML(charts.curves(None, marks, top), elem_id="curves")
    sliders = tuple(
        gr.Slider(0, top, value, step=1, label=name, info=MARK_HELP[name], elem_id=name, buttons=[])
        for name, value in marks._asdict().items()
    )
    own = gr.Button("Back to the directions' own marks", size="sm")
    return curves, sliders, own


def trainer() -> Trainer:
    """The page that trains a direction from two texts."""
    job = Job("face", "smiling face")
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            source = gr.Textbox(job.source, label="Source text: what the faces show")
            target = gr.Textbox(
                "",
                label="Target text: what they should show",
                placeholder=f"for example: {job.target}",
            )
            faces = gr.Slider(FEWEST, MOST, job.faces, step=8, label="Random faces to train on")
            passes = gr.Slider(1, 10, job.passes, step=1, label="Passes over the faces")
            seed = gr.Number(job.seed, label="Seed of the faces", precision=0, minimum=0)
            label = "Running and interrupted trainings"
            known = gr.Dropdown([], label=label, elem_id="known", filterable=False, visible=False)
            with gr.Row():
                start = gr.Button("Train", variant="primary", min_width=90, elem_id="train")
                stop = gr.Button("Stop", variant="stop", min_width=90, interactive=False)
                resume = gr.Button("Resume", min_width=90, interactive=False)
        with gr.Column(scale=1, min_width=320):
            bar = gr.HTML(views.IDLE, elem_id="train-bar")
            message = gr.HTML(
                views.message("One to some minutes; held-out faces appear here."),
                elem_id="train-message",
            )
            preview = gr.HTML("", elem_id="train-preview", elem_classes="preview")
            losses = gr.HTML("", elem_id="train-losses")
    return Trainer(
        source, target, faces, passes, seed, start, stop, resume, bar, message, preview, losses,
        known,
    )  # fmt: skip
