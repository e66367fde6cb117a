"""What happens on the pages that train directions and show the gallery."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import charts, plans, views
from asyrp.app.editing_tab import Updates, paced, reason
from asyrp.app.layout import Trainer
from asyrp.app.sessions import Session
from asyrp.app.studio import Studio
from asyrp.app.training import Job, Progress
from asyrp.errors import AsyrpError


class Learning:
    """The handlers."""

    def __init__(self, studio: Studio, trainer: Trainer, chosen: Any, cards: Any):
        self.studio, self.trainer = studio, trainer
        self.chosen, self.cards = chosen, cards

    def session(self, request: gr.Request) -> Session:
        """The session of the tab that calls."""
        return self.studio.sessions.get(str(request.session_hash))

    def start(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Train from the texts on the page; a job that was stopped continues."""
        try:
            job = self._job(values)
        except AsyrpError as error:
            yield self._told(str(error), error=True)
            return
        yield from self._train(self.session(request), job)

    def resume(self, request: gr.Request) -> Iterator[Updates]:
        """Go on with the job that was stopped on this page."""
        session = self.session(request)
        if session.job is None:
            yield self._told("nothing was stopped here; start with Train", error=True)
            return
        yield from self._train(session, session.job)

    def stop(self, request: gr.Request) -> None:
        """Stop the training; its checkpoint stays."""
        self.session(request).stop("training")

    def _job(self, values: tuple[Any, ...]) -> Job:
        source, target, faces, passes, seed = values
        return Job(
            str(source).strip(),
            str(target).strip(),
            plans.whole(faces, "number of faces"),
            plans.whole(passes, "number of passes"),
            plans.whole(seed, "seed of the faces"),
            self.studio.habits.steps,
        )

    def _train(self, session: Session, job: Job) -> Iterator[Updates]:
        again = self.studio.unfinished(job)
        yield self._told(
            f"{job.source} → {job.target}: {'continuing from its checkpoint' if again else 'begun'}"
        ) | self._buttons(running=True)
        last = Progress("")
        shown: Any = None
        try:
            for last in paced(self.studio.train(session, job)):
                yield self._progress(last, shown)
                shown = last.image if last.image is not None else shown
        except (AsyrpError, OSError, MemoryError, RuntimeError) as error:
            yield self._told(reason(error), error=True) | self._buttons(running=False)
            return
        yield self._ended(session, job)

    def _progress(self, one: Progress, shown: Any) -> Updates:
        updates = {self.trainer.bar: views.bar(one.what, one.done, one.total)}
        if one.note:
            updates[self.trainer.message] = views.message(one.note)
        if one.image is not None and one.image is not shown:
            alt = "Held-out faces so far, above their edits"
            updates[self.trainer.preview] = views.image(one.image, alt)
            updates[self.trainer.losses] = charts.losses(one.losses, one.batches)
        return updates

    def _ended(self, session: Session, job: Job) -> Updates:
        updates = self._buttons(running=False) | {self.trainer.bar: views.IDLE}
        if session.trained is None or session.trained.stem != job.stem:
            told = "Stopped. Resume goes on from the last batch; so does Train with these texts."
            resumable = gr.update(interactive=True)
            return updates | self._told(told) | {self.trainer.resume: resumable}
        entries = self.studio.gallery.listing().entries
        choices = [(entry.title, key) for key, entry in entries.items()]
        told = f"Finished: {job.source} → {job.target} is now among the directions."
        return updates | self._told(told) | {self.chosen: gr.update(choices=choices)}

    def _told(self, text: str, error: bool = False) -> Updates:
        return {self.trainer.message: views.message(text, error)}

    def _buttons(self, running: bool) -> Updates:
        return {
            self.trainer.start: gr.update(interactive=not running),
            self.trainer.stop: gr.update(interactive=running),
            self.trainer.resume: gr.update(interactive=False),
        }

    def gallery(self, request: gr.Request) -> Iterator[Updates]:
        """The cards, with a face before and after each direction as they are walked."""
        listing = self.studio.gallery.listing()
        yield {self.cards: views.gallery(listing, {})}
        count = 0
        for shown in self.studio.pairs(self.session(request)):
            if len(shown) > count:
                count = len(shown)
                yield {self.cards: views.gallery(listing, shown)}
