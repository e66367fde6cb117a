"""What happens on the page until a picture is open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from asyrp.app import plans, views
from asyrp.app.editing_tab import Editing
from asyrp.app.handling import Desk, answered, paced
from asyrp.app.layout import Updates
from asyrp.app.pictures import Picture, read_upload, uploaded
from asyrp.app.sessions import SLOTS, Session
from asyrp.app.studio import Studio
from asyrp.errors import AsyrpError

POOR = 0.02  # mean squared error in [-1, 1] above which an edit will not look right


class Opening:
    """The handlers; all they keep lies in the session of the tab that calls."""

    def __init__(self, desk: Desk, editing: Editing):
        self.desk, self.editing = desk, editing
        self.page, self.report = desk.page, desk.page.report

    def begin(self, request: gr.Request) -> Updates:
        """A tab is opened: faces to choose from, and the directions there are now."""
        session, studio = self.desk.at(request)
        return {
            self.page.faces: views.faces(studio.offer(session)),
            self.page.chosen: gr.update(choices=self.desk.choices(studio), value=[]),
        }

    @answered
    def welcome(self, request: gr.Request) -> Iterator[Updates]:
        """The first face, edited by the first direction that ships."""
        session, studio = self.desk.at(request)
        key = studio.first_direction()
        if key is None or not session.faces or session.opening or session.work is not None:
            return
        yield {self.page.chosen: [key]} | self.editing.choose(request, [key])
        yield from self._open(session, studio, session.faces[0])
        marks = self.desk.own_marks(session, studio)
        yield from self.editing.edit(request, *[1.0] * SLOTS, *marks, True, 0)

    @answered
    def enter(self, request: gr.Request, domain: Any) -> Iterator[Updates]:
        """Go on with the networks of another domain."""
        session = self.desk.session(request)
        if domain not in (self.desk.studio.name, *self.desk.studio.others):
            raise AsyrpError("that domain is not offered here; load the page again")
        yield {self.report.bar: views.bar(f"loading {domain}", 0, 1)}
        session.clear()
        session.domain = domain
        studio = self.desk.studio.of(domain)
        emptied = {
            self.page.stage: views.stage(),
            self.page.compare: views.compare(),
            self.page.links: views.links({}),
            self.page.strip: "",
        }
        yield emptied | self.begin(request) | self.editing.choose(request, [])
        yield self.report.told(f"These are the faces and directions of {studio.name}.")
        yield from self.welcome(request)

    @answered
    def draw(self, request: gr.Request, seed: Any) -> Iterator[Updates]:
        """Draw random faces to choose from."""
        session, studio = self.desk.at(request)
        yield from self._draw(session, studio, plans.whole(seed, "seed of the faces"))

    def _draw(self, session: Session, studio: Studio, seed: int) -> Iterator[Updates]:
        before = session.faces
        for one in paced(studio.draw(session, seed)):
            yield self.report.at(one)
        if session.faces is not before:
            yield {self.page.faces: views.faces(session.faces), self.report.bar: views.IDLE}

    @answered
    def pick(self, request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
        """Open one of the faces."""
        session, studio = self.desk.at(request)
        number = getattr(event, "number", None)
        if not isinstance(number, int) or not 0 <= number < len(session.faces):
            raise AsyrpError("that face is gone; draw faces anew, or load the page again")
        yield from self._open(session, studio, session.faces[number])

    @answered
    def upload(self, request: gr.Request, path: Any) -> Iterator[Updates]:
        """Open a picture that was sent, or repeat the edit of a run.json."""
        session, studio = self.desk.at(request)
        folder, limits = Path(get_upload_folder()), studio.habits.limits
        if str(path).endswith(".json"):
            yield from self._repeat(session, studio, plans.read_run(uploaded(str(path), folder)))
            return
        picture, told = read_upload(str(path), folder, studio.size, limits, studio.align)
        yield from self._open(session, studio, picture, told)

    def _repeat(self, session: Session, studio: Studio, run: plans.Run) -> Iterator[Updates]:
        entries = studio.gallery.listing().entries
        snapshot, told = plans.restored(run, entries, studio.habits.steps, studio.top)
        session.slots = snapshot.slots
        yield self.desk.restored(studio, snapshot)
        origin = dict(run.picture)
        held = session.work and dict(session.work.picture.origin) == origin
        if not held and origin.get("kind") == "random":
            yield from self._draw(session, studio, plans.whole(origin.get("seed"), "seed"))
        for picture in [session.work.picture] if session.work and held else session.faces:
            if dict(picture.origin) == origin:
                yield from self._open(session, studio, picture, told)
                return
        about = ", ".join(f"{key} {value}" for key, value in origin.items())
        raise AsyrpError(
            f"the controls are those of the file, but its picture ({about:.200}) is not open; "
            "upload or choose it, then the file again"
        )

    def _open(
        self, session: Session, studio: Studio, picture: Picture, told: str = ""
    ) -> Iterator[Updates]:
        before, notes = session.work, (picture.name, "", "")
        yield {
            self.page.faces: views.faces(session.faces, picture.name),
            self.page.compare: views.compare(picture.shown()),
            self.page.stage: views.stage(picture.image, notes=notes),
            self.page.strip: "",
            self.page.links: views.links({}),
            self.report.message: views.message(told),
        }
        for one in paced(studio.open(session, picture)):
            yield self.report.at(one) | {
                self.page.stage: views.stage(picture.image, one.image, None, notes)
            }
        work = session.work
        if work is None or work is before:
            return
        error = f"Reconstruction error {work.error:.5f} (mean square in [-1, 1])."
        poor = "It does not come back well, and its edits will not either."
        lines = (error, told, work.note, poor if work.error > POOR else "")
        session.about = " ".join(filter(None, lines))
        about = self.desk.done(session, session.about)
        yield about | {self.page.stage: self.editing.stage(work, None, "")}
