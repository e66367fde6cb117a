"""asyrp study: one claim of the paper, as numbers, a figure and a verdict."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyrp.commands import study_own
from asyrp.commands.common import inverted, network, pictures, say
from asyrp.commands.compare import plan_of, work
from asyrp.commands.own_ground import check_built_in
from asyrp.errors import AsyrpError
from asyrp.experiments.plots import save_figure
from asyrp.experiments.studies import diagnose, theorem1
from asyrp.experiments.studies.catalogue import STUDIES, stage_name, study_stages, tasks_of
from asyrp.experiments.studies.common import Verdict
from asyrp.finders.prepare import parse_direction
from asyrp.method.direction_file import load_direction
from asyrp.method.editing import random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.options.compare import Own, Study
from asyrp.runtime.resumable import result_of
from asyrp.scorers.load import distance_for
from asyrp.storage.json_files import plain, write_json
from asyrp.storage.results import check_results, new_folder

JUDGED = ("homogeneity", "linearity", "robustness", "consistency", "layers", "intervals")
RANDOM = 4  # samples, where there are no images


def run(options: Study) -> None:
    """Write NAME.json and NAME.png, and say the verdict."""
    check_results(options.out)
    world = options.network.model == "avatars-64"
    if world and options.own == Own() and not options.direction:
        numbers = on_world(options)
    elif options.name in JUDGED:
        numbers = plain(study_own.measured(options))
    else:
        numbers = plain(unjudged(options))
    study = STUDIES[options.name]
    found, out = study.verdict(numbers), new_folder(options.out)
    write_json(out / f"{options.name}.json", {"verdict": found._asdict(), "numbers": numbers})
    save_figure(study.plot(numbers), out / f"{options.name}.png")
    say(told(found))


def unjudged(options: Study) -> dict[str, Any]:
    """A study of images alone, on a network of the user's.

    Raises:
        AsyrpError: options that it has no use for.
    """
    if options.own != Own(images=options.own.images):
        raise AsyrpError(
            f"{options.name} looks at --images alone; leave --train-images, texts, phases and the "
            "judge out"
        )
    return own_theorem1(options) if options.name == "theorem1" else own_diagnose(options)


def told(found: Verdict) -> str:
    """A verdict in a line."""
    words = {True: "holds here", False: "does not hold here", None: "undecided here"}
    return f"{found.claim}: {words[found.holds]}. {found.text} {found.why}".strip()


def on_world(options: Study) -> Mapping[str, Any]:
    """The study on avatars-64, in stages."""
    check_built_in(options)
    tasks = tasks_of(options.name)
    plan = plan_of(tasks, ("asyrp",), options.counts, options.training)
    kept = new_folder(options.out / "stages")
    work(study_stages(plan, [options.name], options.faces), kept, options.workers)
    return result_of(kept, stage_name(options.name))


def own_theorem1(options: Study) -> dict[str, Any]:
    """Theorem 1 on a network of the user's, on images or on samples."""
    model = network(options.network)
    distance = distance_for(model, options.guides.distance)
    if options.own.images is None:
        latents = random_latents(model, RANDOM)
    else:
        latents = _given(model, options).latents
    with torch.no_grad():
        return theorem1.measure(model, latents, model.schedule.length - 1, distance)


def own_diagnose(options: Study) -> dict[str, Any]:
    """What becomes of a direction of the user's, on images of the user's.

    Raises:
        AsyrpError: no images or no direction.
    """
    if options.own.images is None or not options.direction:
        raise AsyrpError("diagnose needs --images FOLDER and --direction FILE[:STRENGTH]")
    model = network(options.network)
    path, strength = parse_direction(options.direction)
    saved = load_direction(path, model)
    given = _given(model, options)
    act = saved.attribute(strength * saved.card.strength)
    grid = paper_grid(options.steps, model.schedule.length)
    return diagnose.measure(model, given.images, given.latents, grid, act, saved.card.t_boost)


class Given(NamedTuple):
    """Images of the user's and their latents at T."""

    images: Tensor
    latents: Tensor


def _given(model: HSpaceUNet, options: Study) -> Given:
    if options.own.images is None:
        raise AsyrpError("needed --images FOLDER")
    found = pictures(options.own.images, model, options.faces)
    size = options.network.batch_size
    done = inverted(model, found.images, found.names, options.steps, options.inverting, size)
    return Given(found.images, done.latents)
