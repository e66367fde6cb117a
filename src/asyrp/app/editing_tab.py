"""What happens on the page that edits: from events of Gradio to generators of the studio."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from asyrp.app import charts, plans, views
from asyrp.app.handling import Desk, answered, following, paced, slider
from asyrp.app.layout import Updates
from asyrp.app.sessions import SLOTS, Made, Session, Snapshot, Work, assign
from asyrp.app.studio import FACTORS, Studio
from asyrp.errors import AsyrpError

REMEMBERED = 50  # edits that can be undone


class Editing:
    """The handlers; all they keep lies in the session of the tab that calls."""

    def __init__(self, desk: Desk):
        self.desk, self.page, self.report = desk, desk.page, desk.page.report

    def end(self, request: gr.Request) -> None:
        """A tab is closed: its work stops."""
        self.desk.studio.sessions.close(str(request.session_hash))

    def stage(self, work: Work, edit: Any, note: str) -> str:
        """The network's own pictures."""
        notes = (work.picture.name, f"error {work.error:.5f}", note)
        return views.stage(work.picture.image, work.reconstruction, edit, notes)

    def want(self, request: gr.Request, *values: Any) -> None:
        """The controls have moved: a walk for what they said before ends."""
        session, studio = self.desk.at(request)
        try:
            studio.want(session, values)
        except AsyrpError:
            return  # the edit that follows says what is wrong

    @answered
    def edit(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Edit as the controls say."""
        session, studio = self.desk.at(request)
        began, before, work = time.monotonic(), session.made, session.work
        session.marks = plans.controls(values).marks
        yield {self.page.curves: self._curves(session, studio)}
        if work is None or session.opening:
            return
        small = work.picture.photo is None
        walked = False
        for one in paced(studio.edit(session, values)):
            walked = True
            updates = {self.page.stage: self.stage(work, one.image, one.what)}
            if small and one.image is not None:
                pictures = work.picture.shown(), work.picture.shown(one.image)
                updates[self.page.compare] = views.compare(*pictures)
            yield updates | self.report.at(one)
        made = session.made
        if made is None or made is before:
            return
        snapshot = Snapshot(session.slots, tuple(values))
        if session.past[-1:] != [snapshot]:
            session.past = [*session.past, snapshot][-REMEMBERED:]
        seconds = time.monotonic() - began
        told = f"Edited in {seconds:.1f} s." if walked and made.plan.doses else ""
        lines = " ".join(filter(None, (told, session.about)))
        yield self._finished(session, studio, made) | self.desk.done(session, lines)

    @following
    def follow(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Edit a picture once it is open, or the controls once they are set."""
        yield from self.edit(request, *values)

    def _finished(self, session: Session, studio: Studio, made: Made) -> Updates:
        entries, picture = studio.gallery.listing().entries, made.work.picture
        names = [entries[d.key].card.target for d in made.plan.doses if d.key in entries]
        record = plans.run_json(studio.model, made, entries, studio.habits.inverting)
        files = views.edit_files(picture, made.image, session.strip, record)
        return {
            self.page.stage: self.stage(made.work, made.image, ", ".join(names) or "no direction"),
            self.page.compare: views.compare(picture.shown(), picture.shown(made.image)),
            self.page.links: views.links(files),
        }

    def _curves(self, session: Session, studio: Studio) -> str:
        marks = session.marks or plans.own_marks([], studio.top)
        return charts.curves(session.curves, marks, studio.top)

    @following
    def measure(self, request: gr.Request) -> Iterator[Updates]:
        """The LPIPS curves of the picture, after its edit."""
        session, studio = self.desk.at(request)
        for one in paced(studio.measure(session)):
            yield self.report.at(one)
        if session.curves is not None:
            yield {self.page.curves: self._curves(session, studio), self.report.bar: views.IDLE}

    @answered
    def strip(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """The edit over strengths."""
        session, studio = self.desk.at(request)
        before, labels = session.strip, _labels(session, values)
        alt = f"The edit at strengths {', '.join(labels)}"
        for one in paced(studio.strip(session, values)):
            yield self.report.at(one) | {
                self.page.strip: views.image(one.image, alt) if one.image is not None else ""
            }
        if session.strip is None or session.strip is before:
            yield {self.page.strip: "", self.report.bar: views.IDLE}
            return
        yield {self.page.strip: views.strip(session.strip, labels, alt)}
        links = views.links({})
        if session.made is not None:
            links = self._finished(session, studio, session.made)[self.page.links]
        yield {self.report.bar: views.IDLE, self.page.links: links}

    def choose(self, request: gr.Request, chosen: list[str]) -> Updates:
        """Directions are chosen: a slider for each, and the marks of their cards."""
        session, studio = self.desk.at(request)
        entries = studio.gallery.listing().entries
        held = session.slots
        session.slots = assign(held, [key for key in chosen if key in entries])
        updates: Updates = {}
        for place, key, old in zip(self.page.slots, session.slots, held, strict=True):
            new = {"value": 1.0} if key and key != old else {}
            updates[place] = slider(entries.get(key or ""), **new)
        told = f"at most {SLOTS} directions act together; the last ones are left out"
        if len(chosen) > SLOTS:
            updates[self.report.message] = views.message(told, error=True)
        return {**updates, **self.own(request)}

    def own(self, request: gr.Request) -> Updates:
        """The marks of the chosen directions' cards."""
        marks = self.desk.own_marks(*self.desk.at(request))
        return dict(zip(self.page.marks, marks, strict=True))

    @answered
    def undo(self, request: gr.Request) -> Iterator[Updates]:
        """The controls of the edit before the last one."""
        session, studio = self.desk.at(request)
        if len(session.past) < 2:
            raise AsyrpError("There is no earlier edit of this picture.")
        session.past.pop()
        session.slots = session.past[-1].slots
        yield self.desk.restored(studio, session.past[-1])


def _labels(session: Session, values: Any) -> list[str]:
    """What stands below a strip: strengths of a direction, or factors on those of several."""
    asked = plans.controls(values)
    acting = [s for s, key in zip(asked.strengths, session.slots, strict=True) if key and s]
    if len(acting) == 1:
        return [f"{factor * acting[0]:.3g}" for factor in FACTORS]
    return [f"×{factor:g}" for factor in FACTORS]
