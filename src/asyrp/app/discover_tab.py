"""The page that finds directions without words."""

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from asyrp.app import layout, plans, views
from asyrp.app.discovery import COMPONENTS, SAMPLES, STRENGTHS, Component, Search, discovered, keep
from asyrp.app.handling import QUIET, Desk, paced, refused
from asyrp.app.layout import Updates
from asyrp.app.studio import Studio
from asyrp.domains.base import source_of
from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import EditInterval
from asyrp.runtime.generators import Running

INTERVAL = EditInterval(500, 100)  # where nothing else says when directions act


class Discovering:
    """The components of the page, and their handlers."""

    def __init__(self, desk: Desk):
        self.desk = desk
        with gr.Row():
            components = layout.count(COMPONENTS, 5, "Components", min_width=200)
            samples = layout.count(SAMPLES, 48, "Samples to look at", step=8, min_width=200)
            seed = layout.seed("Seed of the samples", min_width=140)
        start = gr.Button("Discover", variant="primary")
        text = "The ways in which h varies most over random samples, largest first."
        self.report = layout.Report("discover", text)
        self.rows = gr.HTML("", elem_id="discover-rows", js_on_load=layout.clicked("keep"))
        told = [self.report.bar, self.report.message]
        start.click(self.search, [components, samples, seed], [*told, self.rows], **QUIET)
        self.rows.select(self.keep, None, [*told, desk.page.chosen], **QUIET)

    @refused
    def search(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Find components, and show each as a row of strips."""
        session, studio = self.desk.at(request)
        named = ("number of components", "number of samples", "seed of the samples")
        components, samples, seed = map(plans.whole, values, named)
        domain = studio.domain
        search = Search(components, samples, interval_of(studio), seed)
        if domain is not None:
            texts = tuple(task.target for task in source_of(domain.name).TASKS.values())
            search = search._replace(noun=domain.noun, texts=texts)
        ticket = session.begin("discovery", search.checked())
        yield {self.rows: "", **self.report.told("Looking at samples.")}
        for one in paced(running := Running(discovered(studio.tools, search))):
            if not ticket.live:
                return
            yield self.report.at(one)
        session.found = running.value
        yield {self.rows: rows(running.value)}
        yield self.report.told("Keep what is of use; it is then among the directions of Edit.")

    @refused
    def keep(self, request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
        """Make a component one of the directions."""
        session, studio = self.desk.at(request)
        number = getattr(event, "number", None)
        if not isinstance(number, int) or not 0 <= number < len(session.found):
            raise AsyrpError("that row is gone; discover anew")
        one = session.found[number]
        path = keep(studio.folder, one, one.saved.card.training["seed"], number)
        choices = gr.update(choices=self.desk.choices(studio))
        line = f"Kept as {path.name}; it is now among the directions of Edit."
        yield self.report.told(line) | {self.desk.page.chosen: choices}


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
        return f"<li><p>{escape(one.told)} {button}</p>{shown}</li>"

    return f'<ol class="rows">{"".join(row(*one) for one in enumerate(found))}</ol>'
