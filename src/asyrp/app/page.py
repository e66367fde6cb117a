"""The page: its components, and which event calls what."""

from typing import Any

import gradio as gr

from asyrp.app import layout
from asyrp.app.compare_tab import Comparing
from asyrp.app.discover_tab import Discovering
from asyrp.app.editing_tab import Editing
from asyrp.app.gradio_memory import tidied
from asyrp.app.handling import QUIET, Desk
from asyrp.app.layout import Asked, Shown, Trainer
from asyrp.app.opening_tab import Opening
from asyrp.app.studio import Studio
from asyrp.app.training_tab import Learning

AT_ONCE = 4  # edits that walk at the same time


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio."""
    domains = [studio.name, *studio.others] if studio.others else []
    with gr.Blocks(title="asyrp", analytics_enabled=False) as page:
        gr.HTML(layout.HEADER)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Edit"):
                shown, asked = layout.editor(studio.top, domains)
            desk = Desk(studio, shown, asked)
            with gr.Tab("Train") as train:
                trainer = layout.trainer()
            with gr.Tab("Discover"):
                Discovering(desk)
            with gr.Tab("Compare") as compare:
                Comparing(desk, compare)
            with gr.Tab("Directions") as tab:
                cards = gr.HTML("", elem_id="cards")
        editing = Editing(desk)
        _edits(page, editing, shown, asked)
        _pictures(page, Opening(desk, editing), editing, shown, asked)
        learning = Learning(desk, trainer, cards)
        _learns(learning, trainer, asked)
        tab.select(learning.gallery, None, cards, **QUIET)
        actions = [trainer.known, trainer.start, trainer.stop, trainer.resume]
        gr.on([train.select, page.load], learning.listed, None, actions, **QUIET)
    page.queue(api_open=False, max_size=200, default_concurrency_limit=AT_ONCE)
    return page


def _edits(page: gr.Blocks, editing: Editing, shown: Shown, asked: Asked) -> None:
    page.unload(editing.end)
    sliders = [slider.input for slider in (*asked.slots, *asked.marks)]
    moved = [*sliders, asked.boost.input, asked.seed.input]
    gr.on(moved, editing.want, asked.values, None, queue=False, trigger_mode="always_last", **QUIET)
    outputs = list(shown)
    edit = tidied(page, editing.edit)
    gr.on(moved, edit, asked.values, outputs, trigger_mode="always_last", **QUIET)
    placed = [*asked.slots, *asked.marks, shown.message]
    chosen = asked.chosen.input(editing.choose, asked.chosen, placed, **QUIET)
    chosen.then(edit, asked.values, outputs, **QUIET)
    own = asked.own.click(editing.own, None, list(asked.marks), **QUIET)
    own.then(edit, asked.values, outputs, **QUIET)
    restored = [*asked.values, asked.chosen, shown.message, shown.bar]
    undone = asked.undo.click(editing.undo, None, restored, **QUIET)
    undone.then(tidied(page, editing.follow), asked.values, outputs, **QUIET)
    asked.make_strip.click(editing.strip, asked.values, outputs, **QUIET)


def _pictures(
    page: gr.Blocks, opening: Opening, editing: Editing, shown: Shown, asked: Asked
) -> None:
    outputs = [*shown, asked.faces]
    everything = [*outputs, asked.chosen, *asked.values]
    begun = page.load(opening.begin, None, [asked.faces, asked.chosen], **QUIET)
    welcomed = begun.then(tidied(page, opening.welcome), None, everything, **QUIET)
    entered = asked.domain.input(opening.enter, asked.domain, everything, **QUIET)
    for event in (welcomed, entered):
        event.then(editing.measure, None, list(shown), **QUIET)
    opened = (
        asked.faces.select(_picked(opening), None, outputs, **QUIET),
        asked.upload.upload(opening.upload, asked.upload, everything, **QUIET),
    )
    for event in opened:
        edited = event.then(tidied(page, editing.follow), asked.values, list(shown), **QUIET)
        edited.then(editing.measure, None, list(shown), **QUIET)
    asked.draw.click(opening.draw, asked.draw_seed, outputs, **QUIET)


def _picked(opening: Opening) -> Any:
    def pick(request: gr.Request, event: gr.EventData) -> Any:
        yield from opening.pick(request, getattr(event, "face", None))

    return pick


def _learns(learning: Learning, trainer: Trainer, asked: Asked) -> None:
    values = [trainer.source, trainer.target, trainer.faces, trainer.passes, trainer.seed]
    buttons = [trainer.start, trainer.stop, trainer.resume]
    reports = [trainer.bar, trainer.message, trainer.preview, trainer.losses, trainer.known]
    outputs = [*buttons, *reports, asked.chosen]
    patient = {**QUIET, "concurrency_limit": None}  # the studio lets one train at a time
    gr.on([trainer.start.click, trainer.target.submit], learning.start, values, outputs, **patient)
    trainer.resume.click(learning.resume, trainer.known, outputs, **patient)
    trainer.stop.click(learning.stop, trainer.known, None, queue=False, **QUIET)
