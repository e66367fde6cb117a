"""The page that finds directions without words."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import plans, views
from asyrp.app.discovery import COMPONENTS, SAMPLES, STRENGTHS, Component, Search, discovered, keep
from asyrp.app.handling import QUIET, Desk, Updates, paced, refused
from asyrp.app.studio import Studio
from asyrp.domains.base import source_of
from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import EditInterval
from asyrp.runtime.generators import Running

INTERVAL = EditInterval(500, 100)  # where nothing else says when directions act
KEEP = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-keep]');
  if (button) trigger('select', {number: Number(button.dataset.keep)});
});
"""


class Discovering:
    """The components of the page, and their handlers."""

    def __init__(self, desk: Desk):
        self.desk = desk
        with gr.Row():
            least, most = COMPONENTS[0], COMPONENTS[-1]
            components = gr.Slider(least, most, 5, step=1, label="Components", min_width=200)
            least, most = SAMPLES[0], SAMPLES[-1]
            samples = gr.Slider(least, most, 48, step=8, label="Samples to look at", min_width=200)
            seed = gr.Number(0, label="Seed of the samples", precision=0, minimum=0, min_width=140)
        start = gr.Button("Discover", variant="primary")
        self.bar = gr.HTML(views.IDLE, elem_id="discover-bar")
        text = "The ways in which h varies most over random samples, largest first."
        self.message = gr.HTML(views.message(text), elem_id="discover-message")
        self.rows = gr.HTML("", elem_id="discover-rows", js_on_load=KEEP)
        shown = [self.bar, self.message, self.rows]
        start.click(self.search, [components, samples, seed], shown, **QUIET)

        def keep(request: gr.Request, event: gr.EventData) -> Any:
            yield from self.keep(request, getattr(event, "number", None))

        self.rows.select(keep, None, [self.bar, self.message, desk.asked.chosen], **QUIET)

    @refused
    def search(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Find components, and show each as a row of strips."""
        session, studio = self.desk.at(request)
        named = ("number of components", "number of samples", "seed of the samples")
        components, samples, seed = map(plans.whole, values, named)
        domain = studio.domain
        search = Search(components, samples, interval_of(studio), seed)
        if domain is not None:
            texts = tuple(source_of(domain.name).TARGETS)
            search = search._replace(noun=domain.noun, texts=texts)
        ticket = session.begin("discovery", search.checked())
        yield {self.rows: "", **self.told("Looking at samples.")}
        for one in paced(running := Running(discovered(studio.tools, search))):
            if not ticket.live:
                return
            yield {self.bar: views.bar(one.what, one.done, one.total)}
        session.found = running.value
        yield {self.rows: rows(running.value)}
        yield self.told("Keep what is of use; it is then among the directions of Edit.")

    @refused
    def keep(self, request: gr.Request, number: Any) -> Iterator[Updates]:
        """Make a component one of the directions."""
        session, studio = self.desk.at(request)
        if not isinstance(number, int) or not 0 <= number < len(session.found):
            raise AsyrpError("that row is gone; discover anew")
        one = session.found[number]
        path = keep(studio.folder, one, one.saved.card.training["seed"], number)
        choices = gr.update(choices=self.desk.choices(studio))
        line = f"Kept as {path.name}; it is now among the directions of Edit."
        yield self.told(line) | {self.desk.asked.chosen: choices}

    def told(self, text: str, error: bool = False) -> Updates:
        """A line, and no work under way."""
        return {self.message: views.message(text, error), self.bar: views.IDLE}


def interval_of(studio: Studio) -> EditInterval:
    """When directions act on a network: as the first of them, or a task of the domain."""
    for entry in studio.gallery.listing().entries.values():
        start = studio.top if entry.card.t_start is None else entry.card.t_start
        return EditInterval(start, entry.card.t_edit)
    tasks = studio.domain.tasks.values() if studio.domain else ()
    return next((task.interval for task in tasks if task.interval), INTERVAL)


def rows(found: list[Component]) -> str:
    """Every component: its strips, what it is like, and a button that keeps it."""
    labels = [f"{strength:g}" for strength in STRENGTHS]

    def row(number: int, one: Component) -> str:
        shown = views.strip(one.picture, labels, one.told)
        button = f'<button type="button" class="vote" data-keep="{number}">Keep</button>'
        return f"<li><p>{views.escaped(one.told)} {button}</p>{shown}</li>"

    return f'<ol class="rows">{"".join(row(*one) for one in enumerate(found))}</ol>'
