"""The page on which edits of unchosen faces are judged by eye."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import plans, views
from asyrp.app.ballots import FACES, drawn, page
from asyrp.app.handling import QUIET, Desk, Updates, paced, refused
from asyrp.app.plans import STRONGEST, Dosage
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
                strength = gr.Slider(-STRONGEST, STRONGEST, 1.0, step=0.05, label="Strength of A")
            with gr.Column(min_width=280):
                self.second = gr.Dropdown([ALONE], value=ALONE, label="B", filterable=False)
                other = gr.Slider(-STRONGEST, STRONGEST, 1.0, step=0.05, label="Strength of B")
        with gr.Row():
            least, most = FACES[0], FACES[-1]
            faces = gr.Slider(least, most, 8, step=1, label="Unchosen faces", min_width=200)
            label = "Seed of faces and order"
            seed = gr.Number(0, label=label, precision=0, minimum=0, min_width=140)
        start = gr.Button("Begin", variant="primary", elem_id="begin-ballot")
        self.bar = gr.HTML(views.IDLE, elem_id="compare-bar")
        text = "Two directions or strengths, blind: which is which is told at the end. "
        text += "Keys answer too."
        self.message = gr.HTML(views.message(text), elem_id="compare-message")
        self.ballot = gr.HTML("", elem_id="ballot")
        tab.select(self.listed, None, [self.first, self.second], **QUIET)
        asked = [self.first, strength, self.second, other, faces, seed]
        start.click(self.begin, asked, [self.bar, self.message, self.ballot], **QUIET)

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
        yield {self.ballot: "", **self.told("Editing faces that nobody chose.")}
        running = Running(drawn(studio.model, studio.grid, methods, count, seed))
        for one in paced(running):
            if not ticket.live:
                return
            yield {self.bar: views.bar(one.what, one.done, one.total)}
        yield {self.ballot: page(running.value, seed)}
        yield self.told("Answer by the buttons or their keys; before is in the middle, or left.")

    def told(self, text: str, error: bool = False) -> Updates:
        """A line, and no work under way."""
        return {self.message: views.message(text, error), self.bar: views.IDLE}
