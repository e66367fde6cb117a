"""From the controls of the page to the plan of a walk, and back to a run.json that repeats it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asyrp.app.gallery import Entry
from asyrp.app.sessions import SLOTS, Made, Marks, Snapshot
from asyrp.app.trajectories import Dose, Plan
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import DirectionCard
from asyrp.method.hspace import HSpaceUNet
from asyrp.options import Inverting
from asyrp.storage.files import read_object
from asyrp.storage.results import record

STRONGEST = 3.0


class Controls(NamedTuple):
    """What the page says: strengths of the slots, marks, boosting, seed."""

    strengths: tuple[float, ...]
    marks: Marks
    boost: bool
    seed: int


def controls(values: Sequence[Any]) -> Controls:
    """The controls from the values of their components, in the page's order.

    Raises:
        AsyrpError: a value that is no number, or out of range.
    """
    try:
        strengths = tuple(map(strength, values[:SLOTS]))
        marks = Marks(*(int(value) for value in values[SLOTS : SLOTS + 3]))
    except (TypeError, ValueError, OverflowError) as error:
        raise AsyrpError("needed numbers in all fields; fill the empty ones") from error
    seed = whole(values[SLOTS + 4], "seed of the noise")
    return Controls(strengths, marks, bool(values[SLOTS + 3]), seed)


def strength(value: Any) -> float:
    """A strength of the page (AsyrpError: no number, or out of range)."""
    try:
        given = float(value)
    except (TypeError, ValueError) as error:
        raise AsyrpError(f"a strength must be a number; got {value!r}") from error
    if not abs(given) <= STRONGEST:
        raise AsyrpError(f"a strength lies in -{STRONGEST:g}..{STRONGEST:g}; move the slider back")
    return given


def whole(value: Any, name: str) -> int:
    """A whole number of 32 bits (AsyrpError: it is none)."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise AsyrpError(f"the {name} must be a whole number; got {value!r}") from error
    if not 0 <= number < 2**32:
        raise AsyrpError(f"the {name} lies in 0..{2**32 - 1}; got {number}")
    return number


def own_marks(entries: Sequence[Entry], top: int) -> Marks:
    """The marks of the cards: all of the interval that any of them edits, and the lowest t_boost.

    top: T - 1, where editing begins without t_start.
    """
    if not entries:
        return Marks(top, 0, 0)
    starts = [top if e.card.t_start is None else e.card.t_start for e in entries]
    ends = [e.card.t_edit for e in entries]
    return Marks(max(starts), min(ends), min(e.card.t_boost for e in entries))


class Dosage(NamedTuple):
    """A direction and its strength on the page, where 1 is the dose of its card."""

    entry: Entry
    strength: float

    def attribute(self, t_edit: int | None = None, t_start: int | None = None) -> Attribute:
        """As it is applied: on its card's interval unless another is given."""
        return self.entry.saved.attribute(self.strength * self.entry.card.strength, t_edit, t_start)


def dosages(
    slots: Sequence[str | None], entries: Mapping[str, Entry], asked: Controls
) -> list[Dosage]:
    """The directions in the slots that still exist."""
    pairs = zip(slots, asked.strengths, strict=True)
    return [Dosage(entries[key], strength) for key, strength in pairs if key and key in entries]


def plan_of(given: Sequence[Dosage], asked: Controls, top: int, number: int = 0) -> Plan:
    """The plan of a walk: a mark that was moved holds for all directions, others are their own.

    A t_start below t_edit counts as t_edit, and so does a t_boost above it.
    """
    own, marks = own_marks([one.entry for one in given], top), asked.marks
    doses = []
    for one in given:
        card = one.entry.card
        t_edit = card.t_edit if marks.t_edit == own.t_edit else marks.t_edit
        start = card.t_start if marks.t_start == own.t_start else marks.t_start
        start = None if start is None else max(start, t_edit)
        if one.strength:
            doses.append(Dose(one.entry.key, one.attribute(t_edit, start)))
    ends = [dose.attribute.t_edit for dose in doses]
    t_boost = min([marks.t_boost, *ends]) if asked.boost else 0
    return Plan(tuple(doses), t_boost, asked.seed, number)


@dataclass(frozen=True)
class Applied:
    """A direction of an edit: the name of its file, and how it was applied."""

    file: str
    strength: float
    t_start: int | None
    t_edit: int
    card: DirectionCard | None = None


@dataclass(frozen=True)
class Run:
    """What repeats an edit of the page, as its run.json says: picture, walk, and inversion."""

    picture: Mapping[str, Any]
    directions: Sequence[Applied]
    t_boost: int
    seed: int
    steps: int
    inverting: Inverting | None = None


def run_json(
    model: HSpaceUNet, made: Made, entries: Mapping[str, Entry], inverting: Inverting
) -> dict[str, Any]:
    """The record of a finished edit; it holds file names, but no path of the server.

    Raises:
        AsyrpError: the file of a direction is gone.
    """
    plan, work = made.plan, made.work
    directions = []
    for key, attribute in plan.doses:
        entry = entries.get(key)
        if entry is None:
            raise AsyrpError(f"{key!r} was removed while it edited; choose directions anew")
        share = attribute.strength / (entry.card.strength or 1.0)
        how = (share, attribute.t_start, attribute.t_edit, entry.card)
        directions.append(Applied(entry.path.name, *how))
    grid = work.walks.grid
    run = Run(work.picture.origin, directions, plan.t_boost, plan.seed, len(grid), inverting)
    return record("app", run, model, reconstruction_mse=work.error)


def read_run(path: Path) -> Run:
    """The record of an edit of the page (AsyrpError: it is none)."""
    try:
        told = read_object(path)["options"]
        directions = [
            Applied(
                str(one["file"]),
                float(one["strength"]),
                None if one["t_start"] is None else int(one["t_start"]),
                int(one["t_edit"]),
            )
            for one in told["directions"]
        ]
        seed = whole(told["seed"], "seed of the noise")
        return Run(
            dict(told["picture"]), directions, int(told["t_boost"]), seed, int(told["steps"])
        )
    except AsyrpError as error:
        raise AsyrpError(str(error).replace(str(path), path.name)) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AsyrpError(
            f"needed the run.json of an edit of this page; {path.name!r} is none ({error!r}); "
            "download one below an edit"
        ) from error


def restored(run: Run, entries: Mapping[str, Entry], steps: int, top: int) -> tuple[Snapshot, str]:
    """The controls that repeat a run, and a line where they cannot do so exactly.

    Raises:
        AsyrpError: a direction of it is not here.
    """
    known = {entry.path.name: entry for entry in entries.values()}
    missing = [one.file for one in run.directions if one.file not in known]
    if missing or len(run.directions) > SLOTS:
        raise AsyrpError(
            f"the file names directions that are not here: {', '.join(map(repr, missing))}; put "
            "them into the folder of directions, or choose the domain they are of"
        )
    given = [(one, known[one.file]) for one in run.directions]
    t_start, t_edit, _ = own_marks([entry for _, entry in given], top)
    if any(one.t_start != entry.card.t_start for one, entry in given):
        t_start = next((one.t_start for one, _ in given if one.t_start is not None), top)
    if any(one.t_edit != entry.card.t_edit for one, entry in given):
        t_edit = min(one.t_edit for one, _ in given)
    empty = SLOTS - len(given)
    slots = (*(entry.key for _, entry in given), *[None] * empty)
    strengths = (*(one.strength for one, _ in given), *[1.0] * empty)
    values = (*strengths, t_start, t_edit, run.t_boost, run.t_boost > 0, run.seed)
    told = f"The file's edit took {run.steps} steps, here it takes {steps}."
    return Snapshot(slots, values), told if run.steps != steps else ""
