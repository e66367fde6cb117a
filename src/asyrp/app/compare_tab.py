"""The page on which edits of unchosen faces are judged by eye."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import layout, plans
from asyrp.app.ballots import FACES, drawn, page
from asyrp.app.handling import QUIET, Desk, paced, refused
from asyrp.app.layout import Updates
from asyrp.app.plans import Dosage
from asyrp.errors import AsyrpError
from asyrp.runtime.generators import Running

ALONE = "nothing: judge A by itself"


class Comparing:
    """The components of the page, and their handlers."""

    def __init__(self, desk: Desk, tab: gr.Tab):
        self.desk = desk
        with gr.Row():
            with gr.Column(min_width=280):
                self.first = gr.Dropdown([], label="A", filterable=False, elem_id="method-a")
                strength = layout.strength("Strength of A")
            with gr.Column(min_width=280):
                self.second = gr.Dropdown([ALONE], value=ALONE, label="B", filterable=False)
                other = layout.strength("Strength of B")
        with gr.Row():
            faces = layout.count(FACES, 8, "Unchosen faces", min_width=200)
            seed = layout.seed("Seed of faces and order", min_width=140)
        start = gr.Button("Begin", variant="primary", elem_id="begin-ballot")
        text = "Two directions or strengths, blind: which is which is told at the end. "
        self.report = layout.Report("compare", text + "Keys answer too.")
        self.ballot = gr.HTML("", elem_id="ballot")
        tab.select(self.listed, None, [self.first, self.second], **QUIET)
        asked = [self.first, strength, self.second, other, faces, seed]
        shown = [self.report.bar, self.report.message, self.ballot]
        start.click(self.begin, asked, shown, **QUIET)

    def listed(self, request: gr.Request) -> Updates:
        """The directions there are now."""
        choices = self.desk.choices(self.desk.at(request)[1])
        first = gr.update(choices=choices, value=choices[0][1] if choices else None)
        second = gr.update(choices=[(ALONE, ALONE), *choices], value=ALONE)
        return {self.first: first, self.second: second}

    @refused
    def begin(
        self, request: gr.Request, a: Any, of_a: Any, b: Any, of_b: Any, *more: Any
    ) -> Iterator[Updates]:
        """Draw faces, edit them, and ask."""
        session, studio = self.desk.at(request)
        asked = [(a, of_a)] if b == ALONE else [(a, of_a), (b, of_b)]
        entries = studio.gallery.listing().entries
        if any(key not in entries for key, _ in asked):
            raise AsyrpError("needed a direction for A; choose one, or make one on Train")
        methods = [Dosage(entries[key], plans.strength(value)) for key, value in asked]
        count, seed = plans.whole(more[0], "number of faces"), plans.whole(more[1], "seed")
        ticket = session.begin("ballot", (tuple(asked), count, seed))
        yield {self.ballot: "", **self.report.told("Editing faces that nobody chose.")}
        running = Running(drawn(studio.model, studio.grid, methods, count, seed))
        for one in paced(running):
            if not ticket.live:
                return
            yield self.report.at(one)
        yield {self.ballot: page(running.value, seed)}
        yield self.report.told(
            "Answer by the buttons or their keys; before is in the middle, or left."
        )
