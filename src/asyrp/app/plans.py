"""From the controls of the page to the plan of a walk, and back to a run.json that repeats it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asyrp.app.gallery import Entry
from asyrp.app.sessions import SLOTS, Made, Marks, Snapshot
from asyrp.app.trajectories import Dose, Plan
from asyrp.errors import AsyrpError
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
    for entry, given_strength in given:
        t_edit = entry.card.t_edit if marks.t_edit == own.t_edit else marks.t_edit
        start = entry.card.t_start if marks.t_start == own.t_start else marks.t_start
        start = None if start is None else max(start, t_edit)
        attribute = entry.saved.attribute(given_strength * entry.card.strength, t_edit, start)
        if given_strength:
            doses.append(Dose(entry.key, attribute))
    ends = [dose.attribute.t_edit for dose in doses]
    t_boost = min([marks.t_boost, *ends]) if asked.boost else 0
    return Plan(tuple(doses), t_boost, asked.seed, number)


@dataclass(frozen=True)
class Repeat:
    """What repeats an edit of the page: the picture, the walk, and the inversion."""

    picture: Mapping[str, Any]
    directions: Sequence[Mapping[str, Any]]
    t_boost: int
    seed: int
    steps: int
    inverting: Inverting


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
        when = {"t_start": attribute.t_start, "t_edit": attribute.t_edit}
        directions.append({"file": entry.path.name, "card": entry.card, "strength": share, **when})
    steps = len(work.walks.grid)
    repeat = Repeat(work.picture.origin, directions, plan.t_boost, plan.seed, steps, inverting)
    return record("app", repeat, model, reconstruction_mse=work.error)


class Run(NamedTuple):
    """What a run.json of the page says: the picture's origin, and (file, strength) with marks."""

    picture: Mapping[str, Any]
    directions: Sequence[tuple[str, float]]
    starts: Sequence[int | None]
    ends: Sequence[int]
    t_boost: int
    seed: int
    steps: int


def read_run(path: Path) -> Run:
    """The record of an edit of the page (AsyrpError: it is none)."""
    try:
        told = read_object(path)["options"]
        given = told["directions"]
        return Run(
            dict(told["picture"]),
            [(str(one["file"]), float(one["strength"])) for one in given],
            [None if one["t_start"] is None else int(one["t_start"]) for one in given],
            [int(one["t_edit"]) for one in given],
            int(told["t_boost"]),
            whole(told["seed"], "seed of the noise"),
            int(told["steps"]),
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
    keys = {entry.path.name: key for key, entry in entries.items()}
    missing = [name for name, _ in run.directions if name not in keys]
    if missing or len(run.directions) > SLOTS:
        raise AsyrpError(
            f"the file names directions that are not here: {', '.join(map(repr, missing))}; put "
            "them into the folder of directions, or choose the domain they are of"
        )
    slots = [keys[name] for name, _ in run.directions]
    cards = [entries[key].card for key in slots]
    own = own_marks([entries[key] for key in slots], top)
    starts, ends = [t for t in run.starts if t is not None], list(run.ends)
    if list(run.starts) == [card.t_start for card in cards]:
        starts = [own.t_start]
    if ends == [card.t_edit for card in cards]:
        ends = [own.t_edit]
    marks = Marks(starts[0] if starts else top, min(ends, default=0), run.t_boost)
    empty = SLOTS - len(slots)
    strengths = [one for _, one in run.directions] + [1.0] * empty
    values = (*strengths, *marks, run.t_boost > 0, run.seed)
    told = f"The file's edit took {run.steps} steps, here it takes {steps}."
    return Snapshot((*slots, *[None] * empty), values), told if run.steps != steps else ""
