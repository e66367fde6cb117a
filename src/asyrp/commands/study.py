"""asyrp study: one claim of the paper, as numbers, a figure and a verdict."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyrp.api import random_latents
from asyrp.commands.common import inverted, network, new_folder, pictures, say
from asyrp.commands.compare import plan_of, work
from asyrp.direction_files import load_direction
from asyrp.errors import AsyrpError
from asyrp.jobs import parse_direction
from asyrp.options.compare import Study
from asyrp.plots import save_figure
from asyrp.registry import distance_for
from asyrp.schedule import paper_grid
from asyrp.stages import result_of
from asyrp.studies import diagnose, theorem1
from asyrp.studies.catalogue import STUDIES, stage_name, study_stages, tasks_of
from asyrp.studies.common import Verdict
from asyrp.tables import plain, write_json
from asyrp.unet import HSpaceUNet

RANDOM = 4  # samples, where there are no images


def run(options: Study) -> None:
    """Write NAME.json and NAME.png, and say the verdict."""
    out = new_folder(options.out)
    world = options.network.model == "avatars-64"
    if world and not (options.images or options.direction):
        numbers = on_world(options)
    elif options.name == "theorem1":
        numbers = plain(own_theorem1(options))
    elif options.name == "diagnose":
        numbers = plain(own_diagnose(options))
    else:
        raise AsyrpError(
            f"the study {options.name!r} needs the judge of avatars-64; got the network "
            f"{options.network.model!r}; leave --model, --images and --direction out, or use "
            "theorem1 or diagnose"
        )
    study = STUDIES[options.name]
    found = study.verdict(numbers)
    write_json(out / f"{options.name}.json", {"verdict": found._asdict(), "numbers": numbers})
    save_figure(study.plot(numbers), out / f"{options.name}.png")
    say(told(found))


def told(found: Verdict) -> str:
    """A verdict in a line."""
    words = {True: "holds here", False: "does not hold here", None: "undecided here"}
    return f"{found.claim}: {words[found.holds]}. {found.text} {found.why}".strip()


def on_world(options: Study) -> Mapping[str, Any]:
    """The study on avatars-64, in stages."""
    tasks = tasks_of(options.name)
    plan = plan_of(tasks, ("asyrp",), options.counts, options.training)
    kept = new_folder(options.out / "stages")
    work(study_stages(plan, [options.name], options.faces), kept, options.workers)
    return result_of(kept, stage_name(options.name))


def own_theorem1(options: Study) -> dict[str, Any]:
    """Theorem 1 on a network of the user's, on images or on samples."""
    model = network(options.network)
    distance = distance_for(model, options.guides.distance)
    if options.images is None:
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
    if options.images is None or not options.direction:
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
    if options.images is None:
        raise AsyrpError("needed --images FOLDER")
    found = pictures(options.images, model, options.faces)
    size = options.network.batch_size
    done = inverted(model, found.images, found.names, options.steps, options.inverting, size)
    return Given(found.images, done.latents)
