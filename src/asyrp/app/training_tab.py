"""What happens on the pages that train directions and show the gallery."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import charts, plans, views
from asyrp.app.handling import ERRORS, Desk, Updates, paced, reason, refused
from asyrp.app.jobs import Job
from asyrp.app.layout import Trainer
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
    """The handlers."""

    def __init__(self, desk: Desk, trainer: Trainer, cards: Any):
        self.desk, self.trainer, self.cards = desk, trainer, cards

    @refused
    def start(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Train from the texts on the page; a job that was stopped continues."""
        studio = self.desk.at(request)[1]
        source, target = (str(text).strip() for text in values[:2])
        named = ("number of faces", "number of passes", "seed of the faces")
        faces, passes, seed = map(plans.whole, values[2:], named)
        yield from self._train(
            request, Job(source, target, faces, passes, seed, studio.habits.steps, studio.name)
        )

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
            self.trainer.known: gr.update(choices=choices, value=value, visible=bool(choices)),
            self.trainer.start: gr.update(interactive=not own),
            self.trainer.stop: gr.update(interactive=runs),
            self.trainer.resume: gr.update(interactive=bool(choices or left) and not own),
        }

    def _train(self, request: gr.Request, job: Job) -> Iterator[Updates]:
        session, studio = self.desk.at(request)
        again = studio.unfinished(job)
        yield self.told(
            f"{job.source} → {job.target}: {'continuing from its checkpoint' if again else 'begun'}"
        ) | {
            self.trainer.start: gr.update(interactive=False),
            self.trainer.stop: gr.update(interactive=True),
            self.trainer.resume: gr.update(interactive=False),
        }
        shown: Any = None
        clock = Clock()
        try:
            for one in paced(studio.train(session, job)):
                yield self._progress(one, shown, clock.left(one))
                shown = one.image if one.image is not None else shown
        except ERRORS as error:
            yield self.told(reason(error), error=True) | self.listed(request)
            return
        yield self._ended(session, studio, job) | self.listed(request)

    def _progress(self, one: Progress, shown: Any, left: str) -> Updates:
        updates = {self.trainer.bar: views.bar(one.what + left, one.done, one.total)}
        if one.note:
            updates[self.trainer.message] = views.message(one.note)
        if one.image is not None and one.image is not shown:
            alt = "Held-out faces, above their edits so far"
            updates[self.trainer.preview] = views.captioned(one.image, alt)
            updates[self.trainer.losses] = charts.losses(one.losses, one.batches)
        return updates

    def _ended(self, session: Session, studio: Studio, job: Job) -> Updates:
        updates: Updates = {self.trainer.bar: views.IDLE}
        if session.trained is None or session.trained.stem != job.stem:
            told = "Stopped. Resume goes on from the last batch; so does Train with these texts."
            return updates | self.told(told)
        told = f"Finished: {job.source} → {job.target} is now among the directions of Edit. "
        choices = gr.update(choices=self.desk.choices(studio))
        return updates | self.told(told + session.result) | {self.desk.asked.chosen: choices}

    def told(self, text: str, error: bool = False) -> Updates:
        """A line."""
        return {self.trainer.message: views.message(text, error)}

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
