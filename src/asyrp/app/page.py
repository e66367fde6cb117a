"""The page: its components, and which event calls what."""

import gradio as gr

from asyrp.app import layout
from asyrp.app.compare_tab import Comparing
from asyrp.app.discover_tab import Discovering
from asyrp.app.editing_tab import Editing
from asyrp.app.gradio_memory import tidied
from asyrp.app.handling import QUIET, Desk
from asyrp.app.layout import Editor
from asyrp.app.opening_tab import Opening
from asyrp.app.studio import Studio
from asyrp.app.training_tab import Learning

AT_ONCE = 4  # edits that walk at the same time


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio."""
    domains = [studio.name, *studio.others] if studio.others else []
    with gr.Blocks(title="asyrp", analytics_enabled=False) as page:
        gr.HTML(layout.HEADER)
        cards = gr.HTML("", elem_id="cards", render=False)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Edit"):
                desk = Desk(studio, layout.Editor(studio.top, domains))
            with gr.Tab("Train") as train:
                learning = Learning(desk, cards)
            with gr.Tab("Discover"):
                Discovering(desk)
            with gr.Tab("Compare") as compare:
                Comparing(desk, compare)
            with gr.Tab("Directions") as directions:
                cards.render()
        editing = Editing(desk)
        _edits(page, editing, desk.page)
        _pictures(page, Opening(desk, editing), editing, desk.page)
        directions.select(learning.gallery, None, cards, **QUIET)
        gr.on([train.select, page.load], learning.listed, None, learning.actions, **QUIET)
    page.queue(api_open=False, max_size=200, default_concurrency_limit=AT_ONCE)
    return page


def _edits(page: gr.Blocks, editing: Editing, asked: Editor) -> None:
    page.unload(editing.end)
    sliders = [slider.input for slider in (*asked.slots, *asked.marks)]
    moved = [*sliders, asked.boost.input, asked.seed.input]
    gr.on(moved, editing.want, asked.values, None, queue=False, trigger_mode="always_last", **QUIET)
    edit = tidied(page, editing.edit)
    gr.on(moved, edit, asked.values, asked.shown, trigger_mode="always_last", **QUIET)
    report = [asked.report.message, asked.report.bar]
    placed = [*asked.slots, *asked.marks, asked.report.message]
    chosen = asked.chosen.input(editing.choose, asked.chosen, placed, **QUIET)
    chosen.then(edit, asked.values, asked.shown, **QUIET)
    own = asked.own.click(editing.own, None, asked.marks, **QUIET)
    own.then(edit, asked.values, asked.shown, **QUIET)
    undone = asked.undo.click(editing.undo, None, [*asked.values, asked.chosen, *report], **QUIET)
    undone.then(tidied(page, editing.follow), asked.values, asked.shown, **QUIET)
    asked.make_strip.click(editing.strip, asked.values, asked.shown, **QUIET)


def _pictures(page: gr.Blocks, opening: Opening, editing: Editing, asked: Editor) -> None:
    outputs = [*asked.shown, asked.faces]
    everything = [*outputs, asked.chosen, *asked.values]
    begun = page.load(opening.begin, None, [asked.faces, asked.chosen], **QUIET)
    welcomed = begun.then(tidied(page, opening.welcome), None, everything, **QUIET)
    entered = asked.domain.input(opening.enter, asked.domain, everything, **QUIET)
    for event in (welcomed, entered):
        event.then(editing.measure, None, asked.shown, **QUIET)
    opened = (
        asked.faces.select(opening.pick, None, outputs, **QUIET),
        asked.upload.upload(opening.upload, asked.upload, everything, **QUIET),
    )
    for event in opened:
        edited = event.then(tidied(page, editing.follow), asked.values, asked.shown, **QUIET)
        edited.then(editing.measure, None, asked.shown, **QUIET)
    asked.draw.click(opening.draw, asked.draw_seed, outputs, **QUIET)
