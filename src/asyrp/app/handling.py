"""What the handlers of the page share: the tab that calls, errors as its message, and the pace."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import gradio as gr

from asyrp.app import plans, views
from asyrp.app.gallery import Entry
from asyrp.app.layout import Editor, Updates
from asyrp.app.sessions import Marks, Session, Snapshot
from asyrp.app.studio import Studio
from asyrp.app.training import Progress
from asyrp.errors import AsyrpError
from asyrp.runtime.batching import out_of_memory

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}  # of an event
ERRORS = (AsyrpError, OSError, MemoryError, RuntimeError)  # see `reason`
PREVIEW_SECONDS = 0.12  # between previews; each costs the browser some work


class Desk(NamedTuple):
    """The studio of the server, and the tab that edits; all that is kept lies in sessions."""

    studio: Studio
    page: Editor

    def session(self, request: gr.Request) -> Session:
        """The session of the tab that calls."""
        return self.studio.sessions.get(str(request.session_hash))

    def at(self, request: gr.Request) -> tuple[Session, Studio]:
        """The session of the tab that calls, and the studio of its domain."""
        session = self.session(request)
        return session, self.studio.of(session.domain)

    def done(self, session: Session, text: str) -> Updates:
        """A line where work ends that another action may have followed: its error stays."""
        report = self.page.report
        return {report.bar: views.IDLE} if session.failed else report.told(text)

    def choices(self, studio: Studio) -> list[tuple[str, str]]:
        """Title and key of every direction."""
        return [(entry.title, key) for key, entry in studio.gallery.listing().entries.items()]

    def restored(self, studio: Studio, snapshot: Snapshot) -> Updates:
        """The controls as they were."""
        entries = studio.gallery.listing().entries
        updates: Updates = {self.page.chosen: [key for key in snapshot.slots if key in entries]}
        parts = zip(self.page.values, snapshot.values, strict=True)
        updates |= {component: gr.update(value=value) for component, value in parts}
        for place, key, value in zip(self.page.slots, *snapshot, strict=False):
            updates[place] = slider(entries.get(key or ""), value=value)
        return updates

    def own_marks(self, session: Session, studio: Studio) -> Marks:
        """The marks of the chosen directions' cards."""
        entries = studio.gallery.listing().entries
        return plans.own_marks([entries[k] for k in session.slots if k in entries], studio.top)


def slider(entry: Entry | None, **more: Any) -> Any:
    """The slider of a slot: that of a direction, or hidden."""
    if entry is not None:
        more["label"] = f"Strength of {entry.title}"
    return gr.update(visible=entry is not None, **more)


def paced(progress: Iterable[Progress]) -> Iterator[Progress]:
    """Not more progress than can be shown."""
    shown = 0.0
    for one in progress:
        if one.note or time.monotonic() - shown > PREVIEW_SECONDS:
            yield one
            shown = time.monotonic()


def refused(handler: Callable[..., Iterator[Updates]]) -> Callable[..., Iterator[Updates]]:
    """A handler whose errors for the user become the message of its tab, in its `report`."""

    @functools.wraps(handler)
    def run(self: Any, request: gr.Request, *values: Any) -> Iterator[Updates]:
        try:
            yield from handler(self, request, *values)
        except ERRORS as error:
            yield self.report.told(reason(error), error=True)

    return run


def answered(handler: Callable[..., Iterator[Updates]]) -> Callable[..., Iterator[Updates]]:
    """A handler whose errors for the user become the page's message, until the next action.

    It always answers, were it with nothing: Gradio empties the outputs of one that does not.
    """

    @functools.wraps(handler)
    def run(self: Any, request: gr.Request, *values: Any) -> Iterator[Updates]:
        session: Session = self.desk.session(request)
        session.failed = False
        try:
            yield gr.skip()
            yield from handler(self, request, *values)
        except ERRORS as error:
            session.failed = True
            yield self.report.told(reason(error), error=True)

    return run


def following(handler: Callable[..., Iterator[Updates]]) -> Callable[..., Iterator[Updates]]:
    """The same for what follows another action: nothing where that one failed."""
    act = answered(handler)

    @functools.wraps(handler)
    def run(self: Any, request: gr.Request, *values: Any) -> Iterator[Updates]:
        failed = self.desk.session(request).failed
        yield from iter([gr.skip()]) if failed else act(self, request, *values)

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
