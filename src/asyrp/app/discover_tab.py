"""The page that finds directions without words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from asyrp.app import plans, views
from asyrp.app.discovery import COMPONENTS, SAMPLES, STRENGTHS, Component, Search, discovered, keep
from asyrp.app.handling import Desk, Updates, paced, reason
from asyrp.app.sessions import Session
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


class Parts(NamedTuple):
    """The components of the page."""

    components: Any
    samples: Any
    seed: Any
    start: Any
    bar: Any
    message: Any
    rows: Any


def parts() -> Parts:
    """Make them."""
    text = "The ways in which h varies most over random samples, largest first."
    with gr.Row():
        least, most = COMPONENTS[0], COMPONENTS[-1]
        components = gr.Slider(least, most, 5, step=1, label="Components", min_width=200)
        samples = gr.Slider(
            SAMPLES[0], SAMPLES[-1], 48, step=8, label="Samples to look at", min_width=200
        )
        seed = gr.Number(0, label="Seed of the samples", precision=0, minimum=0, min_width=140)
    start = gr.Button("Discover", variant="primary")
    bar = gr.HTML(views.IDLE, elem_id="discover-bar")
    message = gr.HTML(views.message(text), elem_id="discover-message")
    rows = gr.HTML("", elem_id="discover-rows", js_on_load=KEEP)
    return Parts(components, samples, seed, start, bar, message, rows)


class Discovering:
    """The handlers."""

    def __init__(self, desk: Desk, parts: Parts):
        self.desk, self.parts = desk, parts

    def search(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Find components, and show each as a row of strips."""
        session, studio = self.desk.at(request)
        try:
            yield from self._search(session, studio, values)
        except (AsyrpError, OSError, MemoryError, RuntimeError) as error:
            yield self._told(reason(error), error=True)

    def _search(
        self, session: Session, studio: Studio, values: tuple[Any, ...]
    ) -> Iterator[Updates]:
        named = ("number of components", "number of samples", "seed of the samples")
        components, samples, seed = map(plans.whole, values, named)
        domain = studio.domain
        search = Search(components, samples, interval_of(studio), seed)
        if domain is not None:
            texts = tuple(source_of(domain.name).TARGETS)
            search = search._replace(noun=domain.noun, texts=texts)
        ticket = session.begin("discovery", search.checked())
        yield {self.parts.rows: "", **self._told("Looking at samples.")}
        for one in paced(running := Running(discovered(studio.tools, search))):
            if not ticket.live:
                return
            yield {self.parts.bar: views.bar(one.what, one.done, one.total)}
        session.found = running.value
        yield {self.parts.rows: rows(running.value)}
        yield self._told("Keep what is of use; it is then among the directions of Edit.")

    def keep(self, request: gr.Request, number: Any) -> Updates:
        """Make a component one of the directions."""
        session, studio = self.desk.at(request)
        if not isinstance(number, int) or not 0 <= number < len(session.found):
            return self._told("that row is gone; discover anew", error=True)
        one = session.found[number]
        try:
            path = keep(studio.folder, one, one.saved.card.training["seed"], number)
        except (AsyrpError, OSError) as error:
            return self._told(reason(error), error=True)
        told = self._told(f"Kept as {Path(path).name}; it is now among the directions of Edit.")
        return told | {self.desk.asked.chosen: gr.update(choices=self.desk.choices(studio))}

    def _told(self, text: str, error: bool = False) -> Updates:
        return {self.parts.message: views.message(text, error), self.parts.bar: views.IDLE}


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


def wired(discovering: Discovering, quiet: dict[str, Any]) -> None:
    """Which event calls what."""
    parts = discovering.parts
    asked = [parts.components, parts.samples, parts.seed]
    shown = [parts.bar, parts.message, parts.rows]
    parts.start.click(discovering.search, asked, shown, **quiet)

    def keep(request: gr.Request, event: gr.EventData) -> Any:
        return discovering.keep(request, getattr(event, "number", None))

    outputs = [parts.bar, parts.message, discovering.desk.asked.chosen]
    parts.rows.select(keep, None, outputs, **quiet)
