"""What the commands share: networks, pictures, progress, and the record of a run."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from asyrp.commands.forecast import STAGE, foresee
from asyrp.domains.shipped import load_named
from asyrp.errors import AsyrpError, printable
from asyrp.finders.prepare import boost_of, parse_direction
from asyrp.method.asymmetric_process import Attribute, check_acts, intervals_of
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import Report
from asyrp.method.editing_interval import Found
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.region import check_covers
from asyrp.method.schedule import paper_grid
from asyrp.networks import load_model
from asyrp.networks.latent_pipeline import Prompt
from asyrp.options import Applying, Network
from asyrp.options.app import App
from asyrp.options.editing import Intervals, Train
from asyrp.options.finding import Find
from asyrp.options.shared import Unasked
from asyrp.runtime.cpu import set_up_torch
from asyrp.runtime.distributed import assemble, is_first
from asyrp.runtime.resumable import Stage, recorded, run_stages, unworked
from asyrp.settings import checked_region
from asyrp.storage.image_folders import SUFFIXES
from asyrp.storage.images import MARK
from asyrp.storage.results import new_folder

LONGEST_NAME = 80  # letters of a file named after a text


def stem_of(text: str) -> str:
    """The words of a text as the stem of a file."""
    return "-".join(re.findall(r"\w+", text))[:LONGEST_NAME]


def say(line: str) -> None:
    """One line to the user, from one process of a group."""
    if is_first():
        print(printable(line), file=sys.stderr, flush=True)


def fact(name: str, value: object) -> None:
    """A fact, a line, on standard output."""
    print(printable(f"{name:18} {value}"))


def tell_others(folder: Path, written: Iterable[str]) -> None:
    """Say how many pictures a folder of results has besides those that were written."""
    held = {path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
    others = sorted(held - set(written))
    if others:
        say(
            f"{folder} held other pictures before: {len(others)}, such as {others[0]!r}; they "
            "stay, and what reads the folder reads them too; give another --out, or remove them"
        )


@contextmanager
def progress(what: str, unit: str = "step") -> Iterator[Report]:
    """A progress bar, fed with (done, total); the first process of a group shows its own."""
    quiet = not is_first()
    with tqdm(desc=what, unit=unit, leave=True, dynamic_ncols=True, disable=quiet) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def work(
    stages: Sequence[Stage], kept: Path, workers: int, model: HSpaceUNet | None = None
) -> None:
    """Work the stages with a progress bar; a run that was stopped goes on where it was.

    model: whose passes take most of the time; without one there is no --dry-run.
    """
    if model is not None:
        left = len(unworked(stages, kept))
        would = f"work {left} of {len(stages)} stages, and keep them in {kept}"
        foresee(would, model, left * STAGE, share=1 / workers)
    new_folder(kept)
    with tqdm(total=len(stages), unit="stage", dynamic_ncols=True) as bar:
        for done in recorded(run_stages(stages, kept, workers), kept):
            bar.set_postfix_str(printable(f"{done.name}, {done.seconds:.0f} s"))
            bar.update(1)


def network(options: Network) -> HSpaceUNet:
    """The network of a command.

    Raises:
        AsyrpError: unknown network, or a device that this machine does not have.
    """
    if options.at_once < 1:
        raise AsyrpError(f"batch_size must be 1 or more; got {options.batch_size}")
    set_up_torch()
    device = own_device(options.device)
    if options.device == "cpu" and torch.cuda.is_available():
        say("this machine has a GPU, which is not used; --device cuda uses it")
    prompt = Prompt(options.prompt, options.guidance)
    label = options.class_label
    model = load_model(options.model, device, options.dtype, prompt=prompt, class_label=label)
    if model.t_top < model.schedule.length - 1:
        say(
            f"inversion and editing begin at t = {model.t_top} or below, not at T: above it "
            "alpha_bar is so small that P_t would be made of the errors of eps"
        )
    return model


def own_device(asked: str) -> str:
    """The device of this process, which in a group is another than that of the others.

    Raises:
        AsyrpError: this machine does not have it.
    """
    own = assemble(asked).device  # first, since a look at "cuda" takes memory of the first GPU
    if own.partition(":")[0] != asked.partition(":")[0]:
        raise AsyrpError(f"no device {asked!r} here for every process; try cpu")
    return check_device(own)


def check_device(name: str) -> str:
    """The name of a device that this machine has (AsyrpError: it has none of that name)."""
    try:
        torch.zeros(1, device=name).item()  # "meta" has no values
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise AsyrpError(f"no device {name!r} here ({reason}); try cpu") from error
    return name


def check_guides(options: App | Find | Intervals | Train, measured: bool = True) -> None:
    """Raise AsyrpError where nobody asked for what guides a network of other pictures.

    measured: whether the distance is looked at.
    """
    spec, guides = options.network.model, options.guides
    if spec == Network().model:
        return
    for name, asked, why, better in (
        ("encoder", guides.encoder, "knows drawn faces alone", "clip"),
        ("distance", guides.distance, "has thresholds of drawn faces", "lpips-alex"),
    )[: 1 + measured]:
        if isinstance(asked, Unasked):
            raise AsyrpError(
                f"{asked} {why}, and {spec!r} is another network; needed --{name}: {better} for "
                "photographs"
            )


def describe(found: Found, cosine: float) -> str:
    """One line for the user."""
    edit, boost = found.t_edit, found.t_boost
    return (
        f"text cosine {cosine:.3f}; t_start {found.t_start}, t_edit {edit.t} (90 % band "
        f"{edit.low} to {edit.high}), t_boost {boost.t} ({boost.low} to {boost.high})"
    )


class Applied(NamedTuple):
    """Directions as a walk takes them."""

    saved: list[SavedDirection]
    attributes: list[Attribute]
    t_boost: int


def applied(model: HSpaceUNet, options: Applying, steps: int) -> Applied:
    """Load the directions of a command for walks of some steps, strengths multiplied.

    Raises:
        AsyrpError: a file that cannot be used, t_boost above a t_edit, or an interval without a
            timestep of the walk.
    """
    grid = paper_grid(steps, model.schedule.length)
    region = None if options.region is None else checked_region(options.region)
    saved, attributes = [], []
    for text in options.direction:
        path, strength = parse_direction(text)
        one = load_named(path, model, options.force)
        saved.append(one)
        total = strength * options.strength * one.card.strength
        attributes.append(one.attribute(total, options.t_edit, options.t_start, region))
    check_acts(attributes, grid)
    for act in attributes:
        check_covers(act.region, model)
    t_boost = boost_of(saved, options.t_boost)
    intervals_of(attributes, t_boost)
    return Applied(saved, attributes, t_boost)


def edit_notes(chosen: Applied) -> dict[str, str]:
    """What an edited picture carries as text; nothing where no direction edited it."""
    titles = [f"{one.card.source} -> {one.card.target}" for one in chosen.saved]
    return {"Software": MARK, "Edit": str(titles)} if titles else {}
