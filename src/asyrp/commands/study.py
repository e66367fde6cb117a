"""asyrp study: one claim of the paper, as numbers, a figure and a verdict."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from asyrp.commands.common import network, say, work
from asyrp.commands.compare import plan_of
from asyrp.commands.forecast import foresee, inverting_passes
from asyrp.commands.inverting import Inverter, folder_images
from asyrp.domains.base import source_of
from asyrp.domains.shipped import load_named
from asyrp.errors import AsyrpError
from asyrp.experiments.plan import domain_of, settled
from asyrp.experiments.plots import save_figure
from asyrp.experiments.studies import diagnose, theorem1
from asyrp.experiments.studies.catalogue import (
    check_study,
    stage_name,
    study_of,
    study_stages,
    tasks_of,
    told,
)
from asyrp.finders.prepare import parse_direction
from asyrp.method.schedule import paper_grid
from asyrp.options import Network
from asyrp.options.domains import Study
from asyrp.runtime.resumable import result_of
from asyrp.scorers.load import distance_for
from asyrp.storage.files import atomic_folder
from asyrp.storage.json_files import plain, write_json
from asyrp.storage.results import check_results


def run(options: Study) -> dict[str, Any]:
    """Write NAME.json and NAME.png, and say the verdict."""
    study, name = study_of(options.name), stage_name(options.name).removeprefix("study-")
    check_results(options.out, options.images, [f"{name}.json", f"{name}.png"])
    given = options.images is not None or options.direction
    numbers = plain(of_images(options)) if given else of_domain(options)
    found = study.verdict(numbers)
    result = {"verdict": found._asdict(), "numbers": numbers}
    with atomic_folder(options.out) as out:
        write_json(out / f"{name}.json", result)
        save_figure(study.plot(numbers), out / f"{name}.png")
    say(told(found))
    return {"out": options.out, **result}


def of_domain(options: Study) -> Mapping[str, Any]:
    """The study on a domain, in stages."""
    plan = replace(plan_of(options), rates=())
    check_study(plan, options.name, options.faces)
    tasks = tasks_of(options.name, domain_of(plan)) or tuple(domain_of(plan).tasks)[:1]
    plan = settled(replace(plan, tasks=tasks, methods=("asyrp",)))
    stages = study_stages(plan, [options.name], options.faces)
    kept = options.out / "stages"
    work(stages, kept, options.on.workers, domain_of(plan).model)
    return result_of(kept, stage_name(options.name))


def of_images(options: Study) -> dict[str, Any]:
    """A study of single steps on images of the user's, and of the user's direction.

    Raises:
        AsyrpError: another study, no images, or diagnose without a direction.
    """
    needed = {"theorem1": False, "diagnose": True}
    if options.images is None or needed.get(options.name) is not bool(options.direction):
        raise AsyrpError(
            "theorem1 takes --images FOLDER alone, and diagnose --images FOLDER with --direction "
            "FILE[:STRENGTH]; other studies look at a domain's own images"
        )
    names, on = source_of(options.on.domain).NETWORKS, options.on
    model = network(Network(names.model, on.device, on.dtype, 16, names.prompt, names.guidance))
    steps = options.counts.steps
    found = folder_images(options.images, model, options.faces)
    images, count = found.stacked(), len(found)
    passes = inverting_passes(count, steps, options.inverting) + 2 * count * steps
    foresee(f"study {count} images into {options.out}", model, passes, kept=3 * count)
    done = Inverter(model, steps, options.inverting)(images, found.names)
    with torch.no_grad():
        if options.name == "theorem1":
            top, distance = model.schedule.length - 1, distance_for(model, names.distance)
            return theorem1.measure(model, done.latents, top, distance)
        path, strength = parse_direction(options.direction)
        saved = load_named(path, model)
        act = saved.attribute(strength * saved.card.strength)
        grid = paper_grid(steps, model.schedule.length)
        boost = saved.card.t_boost
        return diagnose.measure(model, images, done.latents, grid, act, boost)
