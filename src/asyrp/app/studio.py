"""What the page does, as generators on a session: each step may be the last."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asyrp.app import plans
from asyrp.app.gallery import BeforeAfter, Gallery, Samples
from asyrp.app.jobs import Job, interrupted, paths, remember
from asyrp.app.judging import judged
from asyrp.app.pictures import Aligner, Limits, Picture, random_faces, world_faces
from asyrp.app.sessions import Made, Session, Sessions, Ticket, Training, Work
from asyrp.app.training import Progress, Scorers, gather, train
from asyrp.app.trajectories import Plan, Walks
from asyrp.domains.base import Domain
from asyrp.domains.membership import stranger
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import check_acts, reverse_process
from asyrp.method.ddim import invert_steps
from asyrp.method.editing import inversion_grid, random_latents
from asyrp.method.editing_interval import curve_points, over_time
from asyrp.method.schedule import Pair
from asyrp.options import Inverting
from asyrp.runtime.generators import Running
from asyrp.storage.images import contact_sheet

FACES = 6
PAUSE = 0.05  # seconds between looks at whether an edit still walks
FACTORS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # of a strip


@dataclass(frozen=True)
class Habits:
    """How the page works: timesteps of the grid, inversion, limits, sessions at a time."""

    steps: int = 40
    inverting: Inverting = field(default_factory=Inverting)
    limits: Limits = field(default_factory=Limits)
    people: int = 16


class Studio:
    """The networks, the directions and the sessions of one server.

    others: what loads the studio of another domain, by its name.
    """

    def __init__(
        self,
        tools: Scorers,
        folder: Path,
        habits: Habits,
        examples: Sequence[Picture] = (),
        domain: Domain | None = None,
        align: Aligner | None = None,
    ):
        self.tools, self.folder, self.habits = tools, folder, habits
        self.examples, self.domain, self.align = examples, domain, align
        self.name = domain.name if domain else ""
        self.others: Mapping[str, Callable[[], Studio]] = {}
        self.model = tools.model
        self.gallery = Gallery(self.model, folder)
        self.sessions = Sessions(habits.people)
        self.grid = inversion_grid(self.model, habits.steps)
        self.top = self.grid[0].t
        self.samples = Samples(self.model, self.grid)
        self.running: Training | None = None
        self._training, self._loading = threading.Lock(), threading.Lock()
        self._loaded: dict[str, Studio] = {}
        self._walked: dict[str, Work] = {}  # of the examples, whose walks all share

    def of(self, domain: str) -> "Studio":
        """The studio of a domain, loaded when it is first asked for; "" is this one."""
        if domain in ("", self.name):
            return self
        with self._loading:
            if domain not in self._loaded:
                other = self.others[domain]()
                other.sessions, other._training = self.sessions, self._training
                self._loaded[domain] = other
        return self._loaded[domain]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's pictures."""
        return self.model.image_shape[1:]

    def offer(self, session: Session) -> list[Picture]:
        """Faces to begin with; none where the world cannot be drawn."""
        session.faces = list(self.examples) or world_faces(FACES, self.size)
        return session.faces

    def first_direction(self) -> str | None:
        """The key of a direction that ships, in the order of the domain's tasks."""
        entries = self.gallery.listing().entries
        tasks = [f"built-in: {name}" for name in (self.domain.tasks if self.domain else ())]
        found = [key for key in (*tasks, *entries) if key in entries and entries[key].built_in]
        return found[0] if found else None

    @torch.no_grad()
    def draw(self, session: Session, seed: int) -> Iterator[Progress]:
        """Random faces to choose from; the images of its progress are P_t of all of them."""
        ticket = session.begin("faces", ("random", seed))
        latents = random_latents(self.model, FACES, seed)
        for count, done in enumerate(reverse_process(self.model, latents, self.grid), 1):
            if not ticket.live:
                return
            yield Progress("drawing faces", count, len(self.grid), contact_sheet([done.x0]))
        session.faces = random_faces(done.x, latents, seed)

    @torch.no_grad()
    def open(self, session: Session, picture: Picture) -> Iterator[Progress]:
        """Invert a picture and walk back without an edit."""
        for job in ("edit", "strip", "curves"):
            session.stop(job)
        kept = any(picture is example for example in self.examples)
        known = self._walked.get(picture.name) if kept else None
        with session.begin("picture", (picture.name, id(picture))) as ticket:
            if known is None:
                for one in (walked := Running(self._reconstructed(picture))):
                    if not ticket.live:
                        return
                    yield one
                known = walked.value
            if kept:
                self._walked[picture.name] = known
            if not ticket.live:
                return
        walks = Walks(self.model, self.grid, known.walks.x)  # what is edited is the session's own
        walks.plain = known.walks.plain
        session.work = known._replace(picture=picture, walks=walks)
        session.made = session.strip = session.curves = None
        session.past = []

    def _reconstructed(self, picture: Picture) -> Generator[Progress, None, Work]:
        image = picture.image[None].to(self.model.device)
        x, how = picture.latent, self.habits.inverting
        if x is None:
            x, way = image, (self.grid, how.convention, how.refinements)
            for count, step in enumerate(invert_steps(self.model, self.model.schedule, x, *way), 1):
                x = step.x
                yield Progress("inverting", count, len(self.grid))
        walks = Walks(self.model, self.grid, x)
        for count, done in enumerate(walks.walk(Plan()), 1):
            yield Progress("reconstructing", count, len(self.grid), done.x0[0])
        error = float((done.x - image).square().mean())
        note = stranger(self.model, self.name, image[0])
        return Work(picture, walks, done.x[0], error, note)

    def plan(self, session: Session, values: Sequence[Any]) -> Plan:
        """The plan that the controls ask for."""
        entries = self.gallery.listing().entries
        asked = plans.controls(values)
        marks = asked.marks
        if marks.t_edit > marks.t_start:
            raise AsyrpError(
                f"t_edit ({marks.t_edit}) lies above t_start ({marks.t_start}), so nothing would "
                "be edited; move t_edit below t_start"
            )
        given = plans.dosages(session.slots, entries, asked)
        number = session.work.picture.number if session.work else 0
        plan = plans.plan_of(given, asked, self.top, number)
        check_acts([dose.attribute for dose in plan.doses], self.grid)
        return plan

    def want(self, session: Session, values: Sequence[Any]) -> None:
        """Say what the controls ask for now, so that a walk for anything else ends."""
        self._lead(session, (id(session.work), self.plan(session, values)))

    def _lead(self, session: Session, wanted: tuple[int, Plan]) -> Ticket:
        """The edit to walk from now on; a strip of any other ends."""
        if session.wants.get("strip") != wanted:
            session.stop("strip")
        return session.begin("edit", wanted)

    def edit(self, session: Session, values: Sequence[Any]) -> Iterator[Progress]:
        """Walk with the chosen directions, from where the last walk differs."""
        work, plan = session.opened(), self.plan(session, values)
        ticket = self._lead(session, (id(work), plan))
        walked = Running(work.walks.walk(plan))
        known = len(work.walks.start(plan).steps)
        session.walking += 1
        try:
            for count, done in enumerate(walked, known + 1):
                if not ticket.live:
                    return
                yield Progress(f"P_t at t = {done.t}", count, len(self.grid), done.x0[0])
        finally:
            session.walking -= 1
        session.made, session.strip = Made(work, plan, walked.value[0]), None

    def strip(self, session: Session, values: Sequence[Any]) -> Iterator[Progress]:
        """The plan at several strengths; the images of its progress are P_t of all of them."""
        work, plan = session.opened(), self.plan(session, values)
        if not plan.doses:
            raise AsyrpError("a strip needs a direction; choose one and move its slider from 0")
        ticket = session.begin("strip", (id(work), plan))
        walked = Running(work.walks.strip(plan, FACTORS))
        for done in walked:
            if not ticket.live:
                return
            count = self.grid.index(Pair(done.t, done.s)) + 1
            shown = contact_sheet([done.of_each(done.x0)[:, 0]])
            yield Progress("strip", count, len(self.grid), shown)
        if ticket.live:
            session.strip = contact_sheet([walked.value])

    def measure(self, session: Session) -> Iterator[Progress]:
        """The LPIPS curves of the picture; it waits while an edit walks."""
        if session.work is None or session.curves is not None or session.opening:
            return
        work, walks = session.work, session.work.walks
        ticket = session.begin("curves", id(work))
        image = work.picture.image[None].to(self.model.device)
        points = []
        for point in curve_points(image, walks.x, walks.plain.steps, self.tools.distance):
            points.append(point)
            while session.walking and ticket.live:
                time.sleep(PAUSE)
            if not ticket.live:
                return
            yield Progress(
                "measuring the LPIPS curves of this picture", len(points), len(self.grid)
            )
        if ticket.live:
            session.curves = over_time(points)

    def pairs(self, session: Session) -> Iterator[dict[str, BeforeAfter]]:
        """A face before and after each direction of the gallery; one more now and then."""
        ticket = session.begin("cards", "all")
        shown: dict[str, BeforeAfter] = {}
        for key, entry in self.gallery.listing().entries.items():
            walked = Running(self.samples.pair(entry))
            for _ in walked:
                if not ticket.live:
                    return
                yield shown
            shown = {**shown, key: walked.value}
        yield shown

    def train(self, session: Session, job: Job) -> Iterator[Progress]:
        """Train a direction into the folder; a stopped one continues from its checkpoint."""
        session.job, session.trained = job, None
        with session.begin("training", job) as ticket:
            while not self._training.acquire(timeout=0.5):
                if not ticket.live:
                    return
                yield Progress("waiting for another training to end")
            self.running = Training(job, session)
            try:
                for progress in self._trained(session, job):
                    if not ticket.live:
                        return
                    self.running = Training(job, session, progress)
                    yield progress
            finally:
                self.running = None
                self._training.release()

    def _trained(self, session: Session, job: Job) -> Iterator[Progress]:
        if session.prepared is None or session.prepared[0] != job:
            yield from (gathered := Running(gather(self.tools, job)))
            session.prepared = (job, gathered.value)
        data = session.prepared[1]
        if data.unknown:
            yield Progress("training", note=data.unknown)
        self.folder.mkdir(parents=True, exist_ok=True)
        about = remember(self.folder, job)
        yield from (trained := Running(train(self.tools, job, data, self.folder)))
        about.unlink(missing_ok=True)
        session.prepared, session.trained = None, trained.value.path
        session.result = judged(self.domain, job, trained.value)

    def unfinished(self, job: Job) -> bool:
        """Whether a training of this job was stopped and can continue."""
        return paths(self.folder, job)[1].is_file()

    def trainings(self) -> dict[str, Training]:
        """The one that runs, and those that were interrupted, by the names of their files."""
        jobs = (job for job in interrupted(self.folder) if job.domain == self.name)
        found = {job.stem: Training(job) for job in jobs}
        running = self.running
        own = {running.job.stem: running} if running else {}
        return own | found | own
