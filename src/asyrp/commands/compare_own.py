"""asyrp compare on a network of the user's: the methods that need neither judge nor paintings."""

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from asyrp.baselines.label_swap import swap_condition
from asyrp.baselines.wrapped import with_label
from asyrp.bootstrap import Estimate
from asyrp.checkpoints import load_model
from asyrp.checkpoints.latent import Prompt
from asyrp.commands.common import network, new_folder, pictures, say
from asyrp.commands.compare_own_report import SWAP, page, title
from asyrp.costs import Cost
from asyrp.errors import AsyrpError
from asyrp.evaluation import Pictures, Tools, features_in, of_sets, over_runs, summarised
from asyrp.identity import load_identity
from asyrp.images import contact_sheet, from_uint8, to_uint8
from asyrp.intervals import measure_curves
from asyrp.jobs import EDIT_STEPS, Phases
from asyrp.machine import settle
from asyrp.metrics.features import EncoderFeatures
from asyrp.options.compare import Compare
from asyrp.plots import save_figure
from asyrp.process import check_phases, check_start, walk
from asyrp.registry import distance_for, encoder_for, load_distance, load_encoder
from asyrp.schedule import below, paper_grid
from asyrp.segmentation import load_segmenter
from asyrp.tables import csv_text, write_json, write_text
from asyrp.unet import HSpaceUNet
from asyrp.vision import load_vision
from asyrp.world.compare import SHOWN, spent
from asyrp.world.compare_table import plot_sheet
from asyrp.world.lab import Lab, phases_of
from asyrp.world.rivals import RIVALS, Job, Prepared, Setting, train_ft
from asyrp.world.scenes import Scene, scene_of
from asyrp.world.tasks import Task

METHODS = ("asyrp", "mean", "global", "symmetric", "epsilon", "diffusionclip")
SWAPS: tuple[Setting, ...] = tuple({"begin": share} for share in (0.25, 0.5, 0.75, 1.0))
MOST_CURVES = 16  # images that the intervals are measured on


class Ground(NamedTuple):
    """What all methods work on. swapped: the network under the condition of the edits."""

    job: Job
    validation: Scene
    test: Scene
    tools: Tools
    swapped: HSpaceUNet | None


class Row(NamedTuple):
    """One method: the setting that was tuned, its metrics, costs, and edits as pictures."""

    setting: Setting
    table: dict[str, Estimate]
    costs: dict[str, Any]
    edits: Tensor


def run(options: Compare) -> None:
    """Write table.md, table.csv, table.json and edits.png."""
    check(options)
    settle()
    with tempfile.TemporaryDirectory() as folder:
        ground = ground_of(options, Path(folder))
        names = methods_of(options, ground)
        rows = {}
        for name in names:
            say(f"comparing {name}")
            rows[name] = measured(ground, name)
    write(options, ground, rows)


def write(options: Compare, ground: Ground, rows: Mapping[str, Row]) -> None:
    """The tables, and the first edits of every method."""
    out = new_folder(options.out)
    tables = {name: row.table for name, row in rows.items()}
    costs = {name: row.costs for name, row in rows.items()}
    settings = {name: row.setting for name, row in rows.items()}
    phases = ground.job.phases
    write_text(out / "table.md", page(options, ground.tools, phases, tables, costs, settings))
    flat = [{"method": name, **row.table, **row.costs} for name, row in rows.items()]
    write_text(out / "table.csv", csv_text(flat))
    kept = {name: {"setting": r.setting, "table": r.table, **r.costs} for name, r in rows.items()}
    write_json(out / "table.json", kept)
    strips = {"source": shown(ground.job.lab.model, ground.test, ground.test.images).sources}
    strips |= {title(name): row.edits for name, row in rows.items()}
    drawn = [to_uint8(contact_sheet([images[:SHOWN]])[None])[0] for images in strips.values()]
    save_figure(plot_sheet(list(strips), drawn), out / "edits.png")
    say(f"wrote {out / 'table.md'}")


def check(options: Compare) -> None:
    """Refuse what cannot work before anything is loaded."""
    own, counts = options.own, options.counts
    if own.images is None or own.train_images is None or not (own.source and own.target):
        raise AsyrpError(
            "comparing on a network of your own needs --images, --train-images, --source and "
            "--target; give all four, or none for the built-in world"
        )
    if options.tasks:
        raise AsyrpError("--tasks are the built-in world's; give --source and --target instead")
    unknown = [name for name in options.methods if name not in (*METHODS, SWAP)]
    if unknown:
        raise AsyrpError(
            f"{unknown[0]!r} cannot be compared on a network of your own; needed some of: "
            f"{', '.join((*METHODS, SWAP))} (guidance by images and classifiers needs paintings "
            "and labels of every image)"
        )
    if SWAP in options.methods and not (own.labels or own.target_prompt):
        raise AsyrpError("swap needs --labels SOURCE TARGET or --prompt and --target-prompt")
    if counts.validation_faces < 2:
        raise AsyrpError(f"--validation-faces must be 2 or more; got {counts.validation_faces}")


def methods_of(options: Compare, ground: Ground) -> tuple[str, ...]:
    """Those asked for, or all that this network can take."""
    return options.methods or (METHODS if ground.swapped is None else (*METHODS, SWAP))


def ground_of(options: Compare, folder: Path) -> Ground:
    """Networks, inverted pictures, and phases from LPIPS curves of the tuning pictures."""
    own, size = options.own, options.network.batch_size
    model, swapped = conditioned(options)
    settings = replace(options.training, validate_every=0)
    encoder = encoder_for(model, options.guides.encoder)
    distance = distance_for(model, options.guides.distance)
    lab = Lab(model, encoder, distance, cast(Any, None), cast(Any, None), settings)
    task = Task("own", own.source, own.target, "", "")
    given = material(options, model)
    told = (own.t_start, own.t_edit, own.t_boost)
    phases = given_phases(*told) or phases_on(lab, task, given["validation"][:MOST_CURVES], size)
    scenes = {
        split: scene_of(model, images, split, phases.t_start, steps, size)
        for (split, images), steps in zip(
            given.items(), (settings.steps, EDIT_STEPS, EDIT_STEPS), strict=True
        )
    }
    job = Job(lab, task, phases, scenes["train"], folder)
    tools = tools_of(options, lab, task)
    return Ground(job, scenes["validation"], scenes["test"], tools, swapped)


def material(options: Compare, model: HSpaceUNet) -> dict[str, Tensor]:
    """Pictures to train on, to tune on, and to test on.

    Raises:
        AsyrpError: fewer than two to train on.
    """
    own, counts = options.own, options.counts
    most, tuned = counts.train_faces + counts.validation_faces, counts.validation_faces
    given = pictures(cast(Path, own.train_images), model, most).images
    if len(given) < tuned + 2:
        raise AsyrpError(
            f"needed at least 2 images to train on beside {tuned} to tune on; "
            f"{str(own.train_images)!r} has {len(given)}; give more, or lower --validation-faces"
        )
    test = pictures(cast(Path, own.images), model, counts.test_faces).images
    return {"train": given[tuned:], "validation": given[:tuned], "test": test}


def conditioned(options: Compare) -> tuple[HSpaceUNet, HSpaceUNet | None]:
    """The network under the condition of the images, and under that of the edits if any."""
    own, model = options.own, network(options.network)
    if own.labels is not None:
        return with_label(model, own.labels[0]), with_label(model, own.labels[1])
    if model.unet.class_embedding is not None:
        raise AsyrpError("this network is class-conditional; give --labels SOURCE TARGET")
    if own.target_prompt:
        prompt = Prompt(own.target_prompt, options.network.guidance)
        place = (options.network.device, options.network.dtype)
        return model, load_model(options.network.model, *place, prompt=prompt)
    return model, None


def given_phases(t_start: int | None, t_edit: int | None, t_boost: int | None) -> Phases | None:
    """The timesteps that the user set; None where they shall be measured.

    Raises:
        AsyrpError: some of them, or an order that cannot be.
    """
    told = [t for t in (t_start, t_edit, t_boost) if t is not None]
    if not told:
        return None
    if len(told) < 3:
        raise AsyrpError("--t-start, --t-edit and --t-boost go together; give all three or none")
    start, end, boost = told
    check_start(start, end)
    check_phases([end], boost)
    return Phases(start, end, boost)


@torch.no_grad()
def phases_on(lab: Lab, task: Task, images: Tensor, size: int) -> Phases:
    """t_start, t_edit and t_boost from the curves of some pictures, inverted to T."""
    length = lab.model.schedule.length
    scene = scene_of(lab.model, images, "curves", length - 1, EDIT_STEPS, size)
    steps = walk(lab.model, scene.latents, paper_grid(EDIT_STEPS, length))
    curves = measure_curves(scene.reconstructions, scene.latents, steps, lab.distance)
    return phases_of(lab, curves, task)


def tools_of(options: Compare, lab: Lab, task: Task) -> Tools:
    """The networks that measure, on pictures."""
    own, encoder = options.own, load_encoder(options.guides.encoder)
    distance = load_distance(options.guides.distance)
    seen = EncoderFeatures(encoder) if own.features == "encoder" else load_vision(own.features)
    guide = lab.guide(task)._replace(encoder=encoder)
    return Tools(
        guide=guide,
        distance=distance,
        spread=distance,
        segmenting=load_segmenter(own.segmenter) if own.segmenter else None,
        features=seen,
        identity=load_identity(Path(own.identity)) if own.identity else None,
    )


def measured(ground: Ground, name: str) -> Row:
    """Train, tune and test one method."""
    job = ground.job
    ready = swap(ground) if name == SWAP else prepared(job, name)
    best = max(ready.settings, key=lambda setting: rank(ground, ready, setting))
    started = time.perf_counter()
    edits = ready.edit(ground.test, best)
    seconds = (time.perf_counter() - started) / len(edits)
    run = [shown(job.lab.model, ground.test, edits)]
    table = {
        **summarised(over_runs(run, ground.tools)),
        **of_sets(run, ground.tools, features_in(run, ground.tools)),
    }
    costs = {
        "seconds to train": ready.training.seconds,
        "seconds an edit": seconds,
        "bytes stored": ready.stored,
    }
    return Row(best, table, costs, run[0].edits)


def prepared(job: Job, name: str) -> Prepared:
    """A method of the comparison, and f_t before those that need it."""
    if RIVALS[name].needs == "direction" and not (job.folder / "direction-own.json").exists():
        kept = {"result": {"training": spent(train_ft(job), 0.5)}}
        write_json(job.folder / "direction-own.json", kept)
    return RIVALS[name].prepare(job)


def swap(ground: Ground) -> Prepared:
    """DDIM inversion under one condition and back under the other, from several heights."""
    source, target = ground.job.lab.model, cast(HSpaceUNet, ground.swapped)

    @torch.no_grad()
    def edit(scene: Scene, setting: Setting) -> Tensor:
        length = source.schedule.length
        grid = below(paper_grid(scene.steps, length), math.ceil(setting["begin"] * (length - 1)))
        parts = []
        for images in scene.images.split(16):
            *_, last = swap_condition(source, target, images.to(source.device), grid)
            parts.append(last.x)
        return torch.cat(parts)

    return Prepared(edit, SWAPS, 0, Cost())


def rank(ground: Ground, ready: Prepared, setting: Setting) -> float:
    """S_dir minus LPIPS on the pictures to tune on: the change asked for, and little else."""
    scene = ground.validation
    run = [shown(ground.job.lab.model, scene, ready.edit(scene, setting))]
    found = over_runs(run, Tools(guide=ground.tools.guide, distance=ground.tools.distance))
    return float(np.mean(found["s_dir"]) - np.mean(found["lpips"]))


@torch.no_grad()
def shown(model: HSpaceUNet, scene: Scene, edits: Tensor) -> Pictures:
    """A scene and its edits as pictures, decoded and as 8-bit files would hold them."""

    def decoded(x: Tensor) -> Tensor:
        images = torch.cat([model.space.decode(one[None]).cpu() for one in x])
        return from_uint8(to_uint8(images))

    return Pictures(decoded(scene.images), decoded(edits), decoded(scene.reconstructions))
