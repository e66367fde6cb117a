"""asyrp compare on a network of the user's: the methods that need neither labels nor paintings."""

import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from asyrp.commands.common import check_guides, network, say
from asyrp.commands.compare_own_report import SWAP, notes_of, page, title
from asyrp.commands.own_ground import Walks, budget, check_own, ground_of, questions_for, warned
from asyrp.domains.lab import Lab
from asyrp.domains.scenes import Scene
from asyrp.domains.tasks import Task
from asyrp.editing_methods.label_swap import swap_condition
from asyrp.editing_methods.other_spaces import with_label
from asyrp.editing_methods.trained import RIVALS, Job, Prepared, Setting, train_ft
from asyrp.errors import AsyrpError
from asyrp.experiments.compare import SHOWN, Trial, spent
from asyrp.experiments.compare_table import plot_sheet
from asyrp.experiments.plots import save_figure
from asyrp.method.cost import Cost
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import below, paper_grid
from asyrp.method.text_direction import new_text_direction
from asyrp.metrics.features import EncoderFeatures
from asyrp.metrics.frechet import LEAST_FID
from asyrp.metrics.table import Pictures, Scorers, Wish, features_in, of_sets, over_runs, summarised
from asyrp.metrics.zero_shot import Questions, ZeroShotJudging
from asyrp.networks import load_model
from asyrp.networks.latent_pipeline import Prompt
from asyrp.options.compare import Compare
from asyrp.reporting.bootstrap import Estimate
from asyrp.reporting.tables import csv_text, write_json, write_text
from asyrp.runtime.cpu import finish, settle
from asyrp.scorers.arcface import load_identity
from asyrp.scorers.load import distance_for, encoder_for, load_distance, load_encoder
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision
from asyrp.storage.images import contact_sheet, find_images, from_uint8, to_uint8
from asyrp.storage.results import new_folder

METHODS = ("asyrp", "mean", "global", "symmetric", "epsilon", "diffusionclip")
SWAPS: tuple[Setting, ...] = tuple({"begin": share} for share in (0.25, 0.5, 0.75, 1.0))


class Arena(NamedTuple):
    """What all methods work on.

    swapped: the network under the condition of the edits. wish: what the judge should see.
    """

    job: Job
    validation: Scene
    test: Scene
    tools: Scorers
    swapped: HSpaceUNet | None
    wish: Wish | None


class Row(NamedTuple):
    """One method: the setting that was tuned, its metrics, costs, and edits as pictures."""

    setting: Setting
    table: dict[str, Estimate]
    costs: dict[str, Any]
    edits: Tensor


def run(options: Compare) -> None:
    """Write table.md, table.csv, table.json and edits.png."""
    check(options)
    questions = questions_for(options)
    if warning := warned(options, questions):
        say(f"warning: {warning}")
    settle()
    with tempfile.TemporaryDirectory() as folder:
        arena = arena_of(options, Path(folder), questions)
        names = methods_of(options, arena)
        rows = {}
        for name in names:
            say(f"comparing {name}")
            rows[name] = measured(arena, name)
    write(options, arena, rows, questions)


def write(
    options: Compare, arena: Arena, rows: Mapping[str, Row], questions: Questions | None
) -> None:
    """The tables, and the first edits of every method."""
    out = new_folder(options.out)
    tables = {name: row.table for name, row in rows.items()}
    costs = {name: row.costs for name, row in rows.items()}
    settings = {name: row.setting for name, row in rows.items()}
    phases = arena.job.phases
    notes = notes_of(options, arena.tools, phases, next(iter(tables.values())), questions)
    write_text(out / "table.md", page(notes, tables, costs, settings))
    flat = [{"method": name, **row.table, **row.costs} for name, row in rows.items()]
    write_text(out / "table.csv", csv_text(flat))
    kept = {name: {"setting": r.setting, "table": r.table, **r.costs} for name, r in rows.items()}
    write_json(out / "table.json", kept)
    strips = {"source": shown(arena.job.lab.model, arena.test, arena.test.images).sources}
    strips |= {title(name): row.edits for name, row in rows.items()}
    drawn = [to_uint8(contact_sheet([images[:SHOWN]])[None])[0] for images in strips.values()]
    save_figure(plot_sheet(list(strips), drawn), out / "edits.png")
    say(f"wrote {out / 'table.md'}")


def check(options: Compare) -> None:
    """Refuse what cannot work before anything is loaded."""
    check_own(options, "comparing")
    if options.tasks:
        raise AsyrpError("--tasks are the built-in world's; give --source and --target instead")
    unknown = [name for name in options.methods if name not in (*METHODS, SWAP)]
    if unknown:
        raise AsyrpError(
            f"{unknown[0]!r} cannot be compared on a network of your own; needed some of: "
            f"{', '.join((*METHODS, SWAP))} (guidance by images and classifiers needs paintings "
            "and labels of every image)"
        )
    if SWAP in options.methods and not (options.beside.labels or options.beside.target_prompt):
        raise AsyrpError("swap needs --labels SOURCE TARGET or --prompt and --target-prompt")
    found = len(find_images(cast(Path, options.own.images))[: options.counts.test_faces])
    if found < LEAST_FID:
        raise AsyrpError(
            f"FID needs at least {LEAST_FID} images to test on; {str(options.own.images)!r} gives "
            f"{found}; give more, or raise --test-faces"
        )


def methods_of(options: Compare, arena: Arena) -> tuple[str, ...]:
    """Those asked for, or all that this network can take."""
    return options.methods or (METHODS if arena.swapped is None else (*METHODS, SWAP))


def arena_of(options: Compare, folder: Path, questions: Questions | None) -> Arena:
    """Networks, inverted pictures, and phases from LPIPS curves of the tuning pictures."""
    own, settings = options.own, budget(options.training)
    model, swapped = conditioned(options)
    encoder = encoder_for(model, options.guides.encoder)
    distance = distance_for(model, options.guides.distance)
    unused = cast(Any, None)  # what judges here looks at pictures, not at x; see `scorers_of`
    lab = Lab(model, encoder, distance, unused, unused, settings)
    task = Task("own", own.source, own.target, own.attribute, own.value)
    tools = scorers_of(options, lab, task, questions)
    walks = Walks(settings.steps, batch_size=options.network.batch_size)
    ground = ground_of(options, lab, task, walks)
    job = Job(lab, task, ground.phases, ground.train, folder)
    wish = Wish(own.attribute, own.value) if questions else None
    return Arena(job, ground.validation, ground.test, tools, swapped, wish)


def conditioned(options: Compare) -> tuple[HSpaceUNet, HSpaceUNet | None]:
    """The network under the condition of the images, and under that of the edits if any."""
    beside, model = options.beside, network(options.network)
    check_guides(options.network.model, options.guides)
    if beside.labels is not None:
        return with_label(model, beside.labels[0]), with_label(model, beside.labels[1])
    if model.unet.class_embedding is not None:
        raise AsyrpError("this network is class-conditional; give --labels SOURCE TARGET")
    if beside.target_prompt:
        prompt = Prompt(beside.target_prompt, options.network.guidance)
        place = (options.network.device, options.network.dtype)
        return model, load_model(options.network.model, *place, prompt=prompt)
    return model, None


def scorers_of(options: Compare, lab: Lab, task: Task, questions: Questions | None) -> Scorers:
    """The networks that measure, on pictures."""
    beside, device = options.beside, lab.model.device
    encoder = load_encoder(options.guides.encoder, device)
    distance = load_distance(options.guides.distance, device)
    own = beside.features == "encoder"
    judge = load_encoder(questions.encoder, device) if questions else None
    return Scorers(
        guide=new_text_direction(encoder, task.source, task.target),
        distance=distance,
        spread=distance,
        judging=ZeroShotJudging(judge, questions) if judge and questions else None,
        segmenting=load_segmenter(beside.segmenter, device) if beside.segmenter else None,
        features=EncoderFeatures(encoder) if own else load_vision(beside.features, device),
        identity=load_identity(Path(beside.identity)) if beside.identity else None,
    )


def measured(arena: Arena, name: str) -> Row:
    """Train, tune and test one method."""
    job = arena.job
    ready = swap(arena) if name == SWAP else prepared(job, name)
    best = max(ready.settings, key=lambda setting: rank(arena, ready, setting))
    started = time.perf_counter()
    edits = ready.edit(arena.test, best)
    finish(edits.device)
    seconds = (time.perf_counter() - started) / len(edits)
    run = [shown(job.lab.model, arena.test, edits)]
    table = {
        **summarised(over_runs(run, arena.tools, arena.wish)),
        **of_sets(run, arena.tools, features_in(run, arena.tools)),
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


def swap(arena: Arena) -> Prepared:
    """DDIM inversion under one condition and back under the other, from several heights."""
    source, target = arena.job.lab.model, cast(HSpaceUNet, arena.swapped)

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


def rank(arena: Arena, ready: Prepared, setting: Setting) -> tuple[float, ...]:
    """How good a setting is on the pictures to tune on, the higher the better.

    With a judge as in the built-in world; without one S_dir minus LPIPS: the change asked for, and
    little else.
    """
    scene, tools = arena.validation, arena.tools
    run = [shown(arena.job.lab.model, scene, ready.edit(scene, setting))]
    few = Scorers(guide=tools.guide, distance=tools.distance, judging=tools.judging)
    found = {name: float(np.mean(row)) for name, row in over_runs(run, few, arena.wish).items()}
    if arena.wish is None:
        return (found["s_dir"] - found["lpips"],)
    return Trial(setting, *(found[n] for n in ("clean", "success", "leakage", "lpips"))).rank


@torch.no_grad()
def shown(model: HSpaceUNet, scene: Scene, edits: Tensor) -> Pictures:
    """A scene and its edits as pictures, decoded and as 8-bit files would hold them."""

    def decoded(x: Tensor) -> Tensor:
        images = torch.cat([model.space.decode(one[None]).cpu() for one in x])
        return from_uint8(to_uint8(images))

    return Pictures(decoded(scene.images), decoded(edits), decoded(scene.reconstructions))
