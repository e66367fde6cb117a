"""What happens on the pages that train directions and show the gallery."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import charts, layout, plans, views
from asyrp.app.handling import QUIET, Desk, paced, refused
from asyrp.app.jobs import FACES, PASSES, Job
from asyrp.app.judging import region_of
from asyrp.app.layout import Updates
from asyrp.app.sessions import Session
from asyrp.app.studio import Studio
from asyrp.app.training import Progress
from asyrp.errors import AsyrpError

SOONEST = 2.0  # seconds of a phase after which the time left is told


class Clock:
    """The time left of the phase that is under way, from how far it has come."""

    def __init__(self) -> None:
        self._phase, self._began, self._first = "", 0.0, 0

    def left(self, one: Progress) -> str:
        """As in ", 2 min left"; "" where nothing can be told yet."""
        phase, now = one.what.partition(":")[0], time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._first = phase, now, one.done
        gone, done = now - self._began, one.done - self._first
        if gone < SOONEST or done <= 0:
            return ""
        seconds = gone * (one.total - one.done) / done
        return f", {seconds:.0f} s left" if seconds < 100 else f", {seconds / 60:.0f} min left"


class Learning:
    """The components of the tab that trains, and their handlers; `cards` shows the gallery."""

    def __init__(self, desk: Desk, cards: Any):
        self.desk, self.cards = desk, cards
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                asked = self._form(Job("face", "smiling face"))
            with gr.Column(scale=1, min_width=320):
                text = "One to some minutes; held-out faces appear here."
                self.report = layout.Report("train", text)
                self.preview = gr.HTML("", elem_id="train-preview", elem_classes="preview")
                self.losses = gr.HTML("", elem_id="train-losses")
        reports = [self.report.bar, self.report.message, self.preview, self.losses]
        outputs = [*reports, *self.actions, desk.page.chosen]
        patient = {**QUIET, "concurrency_limit": None}  # the studio lets one train at a time
        begun = gr.on([self.train.click, asked[1].submit], self.start, asked, outputs, **patient)
        resumed = self.again.click(self.resume, self.known, outputs, **patient)
        for event in (begun, resumed):
            event.then(self.listed, None, self.actions, **QUIET)
        self.halt.click(self.stop, self.known, None, queue=False, **QUIET)

    def _form(self, example: Job) -> list[Any]:
        source = gr.Textbox(example.source, label="Source text: what the faces show")
        label, shown = "Target text: what they should show", f"for example: {example.target}"
        target = gr.Textbox("", label=label, placeholder=shown)
        faces = layout.count(FACES, example.faces, "Random faces to train on", step=8)
        passes = layout.count(PASSES, example.passes, "Passes over the faces")
        seed = layout.seed("Seed of the faces")
        label = "Only where the value shows (texts of a task that has a region)"
        bound = gr.Checkbox(False, label=label)
        label = "Running and interrupted trainings"
        self.known = gr.Dropdown([], label=label, elem_id="known", filterable=False, visible=False)
        with gr.Row():
            self.train = gr.Button("Train", variant="primary", min_width=90, elem_id="train")
            self.halt = gr.Button("Stop", variant="stop", min_width=90, interactive=False)
            self.again = gr.Button("Resume", min_width=90, interactive=False)
        return [source, target, faces, passes, seed, bound]

    @property
    def actions(self) -> list[Any]:
        """What says which trainings there are, and what can be done."""
        return [self.known, self.train, self.halt, self.again]

    @refused
    def start(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Train from the texts on the page; a job that was stopped continues."""
        studio = self.desk.at(request)[1]
        source, target = (str(text).strip() for text in values[:2])
        named = ("number of faces", "number of passes", "seed of the faces")
        faces, passes, seed = map(plans.whole, values[2:5], named)
        region = region_of(studio.domain, target) if values[5] else ()
        job = Job(source, target, faces, passes, seed, studio.habits.steps, studio.name, region)
        yield from self._train(request, job)

    @refused
    def resume(self, request: gr.Request, stem: Any) -> Iterator[Updates]:
        """Go on with a training of the list, or else the last one of this page."""
        session, studio = self.desk.at(request)
        found = studio.trainings().get(str(stem))
        if found is not None and found.session is not None:
            raise AsyrpError("that training runs; Stop ends it")
        job = found.job if found else session.job
        if job is None:
            raise AsyrpError("nothing was stopped here; start with Train")
        yield from self._train(request, job)

    def stop(self, request: gr.Request, stem: Any = None) -> None:
        """Stop this page's training, or else the one chosen; its checkpoint stays."""
        session, studio = self.desk.at(request)
        found = studio.trainings().get(str(stem))
        if "training" not in session.wants and found and found.session:
            session = found.session
        session.stop("training")

    def listed(self, request: gr.Request) -> Updates:
        """The trainings that run or were interrupted, of all windows, and what can be done."""
        session, studio = self.desk.at(request)
        found = studio.trainings()
        choices = [(one.title, stem) for stem, one in found.items()]
        value = choices[0][1] if choices else None
        own = "training" in session.wants
        left = session.job is not None and session.trained is None
        runs = own or any(one.session for one in found.values())
        return {
            self.known: gr.update(choices=choices, value=value, visible=bool(choices)),
            self.train: gr.update(interactive=not own),
            self.halt: gr.update(interactive=runs),
            self.again: gr.update(interactive=bool(choices or left) and not own),
        }

    def _train(self, request: gr.Request, job: Job) -> Iterator[Updates]:
        session, studio = self.desk.at(request)
        again = studio.unfinished(job)
        yield self.report.told(
            f"{job.source} → {job.target}: {'continuing from its checkpoint' if again else 'begun'}"
        ) | {
            self.train: gr.update(interactive=False),
            self.halt: gr.update(interactive=True),
            self.again: gr.update(interactive=False),
        }
        shown, clock = None, Clock()
        for one in paced(studio.train(session, job)):
            yield self._progress(one, shown, clock.left(one))
            shown = one.image if one.image is not None else shown
        yield self._ended(session, studio, job)

    def _progress(self, one: Progress, shown: Any, left: str) -> Updates:
        updates = self.report.at(one, left)
        if one.note:
            updates[self.report.message] = views.message(one.note)
        if one.image is not None and one.image is not shown:
            alt = "Held-out faces, above their edits so far"
            updates[self.preview] = views.strip(one.image, [alt], alt)
            updates[self.losses] = charts.losses(one.losses, one.batches)
        return updates

    def _ended(self, session: Session, studio: Studio, job: Job) -> Updates:
        if session.trained is None or session.trained.stem != job.stem:
            told = "Stopped. Resume goes on from the last batch; so does Train with these texts."
            return self.report.told(told)
        told = f"Finished: {job.source} → {job.target} is now among the directions of Edit. "
        choices = gr.update(choices=self.desk.choices(studio))
        return self.report.told(told + session.result) | {self.desk.page.chosen: choices}

    def gallery(self, request: gr.Request) -> Iterator[Updates]:
        """The cards, with a face before and after each direction as they are walked."""
        session, studio = self.desk.at(request)
        listing = studio.gallery.listing()
        yield {self.cards: views.gallery(listing, {})}
        count = 0
        for shown in studio.pairs(session):
            if len(shown) > count:
                count = len(shown)
                yield {self.cards: views.gallery(listing, shown)}
