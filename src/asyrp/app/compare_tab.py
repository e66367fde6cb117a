"""The page on which edits of unchosen faces are judged by eye."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from asyrp.app import plans, views
from asyrp.app.ballots import FACES, Method, drawn, page
from asyrp.app.handling import Desk, Updates, paced, reason
from asyrp.app.sessions import Session
from asyrp.app.studio import Studio
from asyrp.errors import AsyrpError
from asyrp.runtime.generators import Running

ALONE = "nothing: judge A by itself"


class Parts(NamedTuple):
    """The components of the page."""

    first: Any
    first_strength: Any
    second: Any
    second_strength: Any
    faces: Any
    seed: Any
    start: Any
    bar: Any
    message: Any
    ballot: Any

    @property
    def asked(self) -> list[Any]:
        """The inputs."""
        return list(self[:6])


def parts() -> Parts:
    """Make them."""
    most = plans.STRONGEST
    with gr.Row():
        with gr.Column(min_width=280):
            first = gr.Dropdown([], label="A", filterable=False, elem_id="method-a")
            first_strength = gr.Slider(-most, most, 1.0, step=0.05, label="Strength of A")
        with gr.Column(min_width=280):
            second = gr.Dropdown([ALONE], value=ALONE, label="B", filterable=False)
            second_strength = gr.Slider(-most, most, 1.0, step=0.05, label="Strength of B")
    with gr.Row():
        faces = gr.Slider(FACES[0], FACES[-1], 8, step=1, label="Unchosen faces", min_width=200)
        seed = gr.Number(0, label="Seed of faces and order", precision=0, minimum=0, min_width=140)
    start = gr.Button("Begin", variant="primary", elem_id="begin-ballot")
    bar = gr.HTML(views.IDLE, elem_id="compare-bar")
    text = "Two directions or strengths, blind: which is which is told at the end. Keys answer too."
    message = gr.HTML(views.message(text), elem_id="compare-message")
    ballot = gr.HTML("", elem_id="ballot")
    strengths = first_strength, second, second_strength
    return Parts(first, *strengths, faces, seed, start, bar, message, ballot)


class Comparing:
    """The handlers."""

    def __init__(self, desk: Desk, parts: Parts):
        self.desk, self.parts = desk, parts

    def listed(self, request: gr.Request) -> Updates:
        """The directions there are now."""
        choices = self.desk.choices(self.desk.at(request)[1])
        first = gr.update(choices=choices, value=choices[0][1] if choices else None)
        second = gr.update(choices=[(ALONE, ALONE), *choices], value=ALONE)
        return {self.parts.first: first, self.parts.second: second}

    def begin(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Draw faces, edit them, and ask."""
        session, studio = self.desk.at(request)
        try:
            yield from self._begin(session, studio, *values)
        except (AsyrpError, OSError, MemoryError, RuntimeError) as error:
            yield self._told(reason(error), error=True)

    def _begin(
        self, session: Session, studio: Studio, a: Any, of_a: Any, b: Any, of_b: Any, *more: Any
    ) -> Iterator[Updates]:
        asked = [(a, of_a)] if b == ALONE else [(a, of_a), (b, of_b)]
        entries = studio.gallery.listing().entries
        if any(key not in entries for key, _ in asked):
            raise AsyrpError("needed a direction for A; choose one, or make one on Train")
        methods = [Method(entries[key], plans.strength(value)) for key, value in asked]
        count, seed = plans.whole(more[0], "number of faces"), plans.whole(more[1], "seed")
        ticket = session.begin("ballot", (tuple(asked), count, seed))
        yield {self.parts.ballot: "", **self._told("Editing faces that nobody chose.")}
        running = Running(drawn(studio.model, studio.grid, methods, count, seed))
        for one in paced(running):
            if not ticket.live:
                return
            yield {self.parts.bar: views.bar(one.what, one.done, one.total)}
        yield {self.parts.ballot: page(running.value, seed)}
        yield self._told("Answer by the buttons or their keys; before is in the middle, or left.")

    def _told(self, text: str, error: bool = False) -> Updates:
        return {self.parts.message: views.message(text, error), self.parts.bar: views.IDLE}


def wired(comparing: Comparing, tab: gr.Tab, quiet: dict[str, Any]) -> None:
    """Which event calls what."""
    parts = comparing.parts
    tab.select(comparing.listed, None, [parts.first, parts.second], **quiet)
    shown = [parts.bar, parts.message, parts.ballot]
    parts.start.click(comparing.begin, parts.asked, shown, **quiet)
