"""What happens on the page that edits: from events of Gradio to generators of the studio."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from asyrp.app import charts, plans, views
from asyrp.app.layout import Asked, Shown
from asyrp.app.pictures import Picture, read_upload
from asyrp.app.sessions import SLOTS, Made, Marks, Session, Work, assign
from asyrp.app.studio import FACTORS, Studio
from asyrp.app.training import Progress
from asyrp.errors import AsyrpError
from asyrp.runtime.batching import out_of_memory

Updates = dict[Any, Any]
PREVIEW_SECONDS = 0.12  # between previews; each costs the browser some work
POOR = 0.02  # mean squared error in [-1, 1] above which an edit will not look right


def paced(progress: Iterable[Progress]) -> Iterator[Progress]:
    """Not more progress than can be shown."""
    shown = 0.0
    for one in progress:
        if one.note or time.monotonic() - shown > PREVIEW_SECONDS:
            yield one
            shown = time.monotonic()


def answered(handler: Callable[..., Iterator[Updates]]) -> Callable[..., Iterator[Updates]]:
    """A handler whose errors for the user become the page's message."""

    @functools.wraps(handler)
    def run(self: "Editing", request: gr.Request, *values: Any) -> Iterator[Updates]:
        try:
            yield from handler(self, request, *values)
        except (AsyrpError, OSError, MemoryError, RuntimeError) as error:
            yield {
                self.shown.message: views.message(reason(error), error=True),
                self.shown.bar: views.IDLE,
            }

    return run


def reason(error: Exception) -> str:
    """What people are told of an error that is theirs or their machine's; others are raised."""
    if isinstance(error, AsyrpError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}; what was there before is still there"
    if out_of_memory(error):
        return "out of memory; close other tabs, or start the page again with a smaller network"
    raise error


class Editing:
    """The handlers; all they keep lies in the session of the tab that calls."""

    def __init__(self, studio: Studio, shown: Shown, asked: Asked):
        self.studio, self.shown, self.asked = studio, shown, asked

    def session(self, request: gr.Request) -> Session:
        """The session of the tab that calls."""
        return self.studio.sessions.get(str(request.session_hash))

    def begin(self, request: gr.Request) -> Updates:
        """A tab is opened: faces to choose from, and the directions there are now."""
        session = self.session(request)
        offered = self.studio.offer(session)
        entries = self.studio.gallery.listing().entries
        choices = [(entry.title, key) for key, entry in entries.items()]
        return {
            self.asked.faces: views.faces(offered),
            self.asked.chosen: gr.update(choices=choices),
        }

    def end(self, request: gr.Request) -> None:
        """A tab is closed: its work stops."""
        self.studio.sessions.close(str(request.session_hash))

    @answered
    def draw(self, request: gr.Request, seed: Any) -> Iterator[Updates]:
        """Draw random faces to choose from."""
        session = self.session(request)
        before = session.faces
        checked = plans.whole(seed, "seed of the faces")
        for one in paced(self.studio.draw(session, checked)):
            yield {self.shown.bar: views.bar(one.what, one.done, one.total)}
        if session.faces is not before:
            yield {self.asked.faces: views.faces(session.faces), self.shown.bar: views.IDLE}

    @answered
    def pick(self, request: gr.Request, number: Any) -> Iterator[Updates]:
        """Open one of the faces."""
        session = self.session(request)
        if not isinstance(number, int) or not 0 <= number < len(session.faces):
            raise AsyrpError("that face is gone; draw faces anew, or load the page again")
        picture = session.faces[number]
        yield {self.asked.faces: views.faces(session.faces, picture.name)}
        yield from self._open(session, picture)

    @answered
    def upload(self, request: gr.Request, path: Any) -> Iterator[Updates]:
        """Open a picture that was sent."""
        session, limits = self.session(request), self.studio.habits.limits
        folder = Path(get_upload_folder())
        picture = read_upload(str(path), folder, self.studio.size, limits)
        yield {self.asked.faces: views.faces(session.faces)}
        yield from self._open(session, picture)

    def _open(self, session: Session, picture: Picture) -> Iterator[Updates]:
        before, image = session.work, picture.image
        notes = (picture.name, "", "")
        for one in paced(self.studio.open(session, picture)):
            yield {
                self.shown.stage: views.stage(image, one.image, None, notes),
                self.shown.bar: views.bar(one.what, one.done, one.total),
            }
        if session.work is None or session.work is before:
            return
        work, error = session.work, session.work.error
        told = f"Reconstruction error {error:.5f} (mean square in [-1, 1])."
        if error > POOR:
            told += " It does not come back well, and its edits will not either."
        yield {
            self.shown.stage: self._stage(work, None, ""),
            self.shown.compare: views.compare(None, None),
            self.shown.bar: views.IDLE,
            self.shown.message: views.message(told),
            self.shown.strip: "",
            self.shown.links: views.links({}),
        }

    def _stage(self, work: Work, edit: Any, note: str) -> str:
        notes = (work.picture.name, f"error {work.error:.5f}", note)
        return views.stage(work.picture.image, work.reconstruction, edit, notes)

    def want(self, request: gr.Request, *values: Any) -> None:
        """The controls have moved: a walk for what they said before ends."""
        try:
            self.studio.want(self.session(request), values)
        except AsyrpError:
            return  # the edit that follows says what is wrong

    @answered
    def edit(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Edit as the controls say."""
        session, began = self.session(request), time.monotonic()
        before, work = session.made, session.work
        session.marks = plans.controls(values).marks
        if work is None:
            yield {self.shown.curves: self._curves(session)}
            return
        for one in paced(self._counted(session, values)):
            yield {
                self.shown.stage: self._stage(work, one.image, one.what),
                self.shown.bar: views.bar(one.what, one.done, one.total),
            }
        made = session.made
        if made is None or made is before:
            return
        told = (
            f"Edited in {time.monotonic() - began:.1f} s; {session.walked} of "
            f"{len(self.studio.grid)} steps anew."
        )
        updates = {
            **self._finished(session, made),
            self.shown.curves: self._curves(session),
        }
        if made.plan.doses or session.walked:
            updates[self.shown.message] = views.message(told)
        yield updates

    def _counted(self, session: Session, values: Any) -> Iterator[Progress]:
        session.walked = 0
        for one in self.studio.edit(session, values):
            session.walked += 1
            yield one

    def _finished(self, session: Session, made: Made) -> Updates:
        entries = self.studio.gallery.listing().entries
        names = [f"{entries[d.key].card.target}" for d in made.plan.doses if d.key in entries]
        how = self.studio.habits.inverting
        record = plans.run_json(self.studio.model, made, entries, how)
        work = made.work
        files = views.edit_files(work.picture.image, made.image, session.strip, record)
        return {
            self.shown.stage: self._stage(work, made.image, ", ".join(names) or "no direction"),
            self.shown.compare: views.compare(work.picture.image, made.image),
            self.shown.bar: views.IDLE,
            self.shown.links: views.links(files),
        }

    def _curves(self, session: Session) -> str:
        marks = session.marks or plans.own_marks([], self.studio.top)
        return charts.curves(session.curves, marks, self.studio.top)

    @answered
    def measure(self, request: gr.Request) -> Iterator[Updates]:
        """The LPIPS curves of the picture, after its edit."""
        session = self.session(request)
        for one in paced(self.studio.measure(session)):
            label = "measuring the LPIPS curves of this picture"
            yield {self.shown.bar: views.bar(label, one.done, one.total)}
        if session.curves is not None:
            yield {
                self.shown.curves: self._curves(session),
                self.shown.bar: views.IDLE,
            }

    @answered
    def strip(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """The edit over strengths."""
        session = self.session(request)
        before = session.strip
        alt = f"The edit at {', '.join(f'{f:g}' for f in FACTORS)} times its strength"
        for one in paced(self.studio.strip(session, values)):
            yield {
                self.shown.strip: views.image(one.image, alt) if one.image is not None else "",
                self.shown.bar: views.bar(one.what, one.done, one.total),
            }
        if session.strip is None or session.strip is before:
            yield {self.shown.strip: "", self.shown.bar: views.IDLE}
            return
        yield {self.shown.strip: views.strip(session.strip, FACTORS, alt)}
        yield {self.shown.bar: views.IDLE, self.shown.links: self._links(session)}

    def _links(self, session: Session) -> str:
        if session.made is None:
            return views.links({})
        found: str = self._finished(session, session.made)[self.shown.links]
        return found

    def choose(self, request: gr.Request, chosen: list[str]) -> Updates:
        """Directions are chosen: a slider for each, and the marks of their cards."""
        session = self.session(request)
        entries = self.studio.gallery.listing().entries
        held = session.slots
        session.slots = assign(held, [key for key in chosen if key in entries])
        updates: Updates = {
            slider: gr.update(visible=False) if key is None else self._slider(key, key != old)
            for slider, key, old in zip(self.asked.slots, session.slots, held, strict=True)
        }
        told = f"at most {SLOTS} directions act together; the last ones are left out"
        if len(chosen) > SLOTS:
            updates[self.shown.message] = views.message(told, error=True)
        return {**updates, **self.own(request)}

    def _slider(self, key: str, new: bool) -> Any:
        label = self.studio.gallery.listing().entries[key].title
        more = {"value": 1.0} if new else {}
        return gr.update(visible=True, label=label, **more)

    def own(self, request: gr.Request) -> Updates:
        """The marks of the chosen directions' cards."""
        entries = self.studio.gallery.listing().entries
        chosen = [entries[key] for key in self.session(request).slots if key in entries]
        marks: Marks = plans.own_marks(chosen, self.studio.top)
        return dict(zip(self.asked.marks, marks, strict=True))
