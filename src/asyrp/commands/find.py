"""asyrp find: directions by any finder, each with a card, a sheet of strips, and a name."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from asyrp.commands.common import check_guides, network, say, stem_of
from asyrp.commands.find_data import Looked, look
from asyrp.commands.forecast import EDITED, foresee, inverting_passes
from asyrp.commands.outputs import on_domain
from asyrp.domains.base import built_in, source_of
from asyrp.errors import AsyrpError, need
from asyrp.finders.base import FoundDirection, check_needs
from asyrp.finders.catalogue import Clip, Jacobian, Pca
from asyrp.finders.naming import Name, movement, name_of, read_texts, text_directions
from asyrp.finders.prepare import EDIT_STEPS
from asyrp.method.direction_file import DirectionCard, SavedDirection, save_direction
from asyrp.method.editing_interval import edit_interval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength_sweep import strip
from asyrp.options.finding import Find
from asyrp.runtime.distributed import assemble
from asyrp.scorers.load import encoder_for
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.json_files import plain, write_json
from asyrp.storage.results import check_results, record

STRIP = (-2.0, -1.0, 0.0, 1.0, 2.0)  # strengths of a sheet's columns
MOST_SHOWN = 4  # images of a sheet, one a row
FILES = ("labels", "directions", "without", "segmenter")  # settings that name files as text
NAMED_ON = 8  # images that a name is chosen on


def run(options: Find) -> dict[str, Any]:
    """Write NAME.safetensors and NAME.png of every direction, and find.json."""
    options = on_domain(options)
    check(options)
    model = network(options.network)
    texts = texts_of(options) if isinstance(options.by, Pca | Jacobian) else []
    encoder = None
    if texts or "text" in options.by.needs:
        check_guides(options)
        encoder = encoder_for(model, options.guides.encoder)
    _foresee(model, options)
    state = options.out.with_name(f"{options.out.name}.unfinished")
    if state.is_dir():
        say(f"continuing with what {state} holds")
    looked = look(model, options, encoder, state)
    if looked.left_out:
        say(f"{len(looked.left_out)} images have no label, such as {looked.left_out[0]!r}")
    found = searched(model, options, looked)
    saved = []
    for file, one in zip(files_of(found), found, strict=True):
        name = named(model, one, looked, texts, options)
        saved.append(SavedDirection(one.direction, card_of(model, one, looked, options, name)))
        say(told(file, name))
    result = write(model, options, looked, files_of(found), saved)
    shutil.rmtree(state, ignore_errors=True)
    say(f"wrote {len(found)} directions with their sheets, and find.json, to {options.out}")
    return {"out": options.out, **result}


def _foresee(model: HSpaceUNet, options: Find) -> None:
    """With --dry-run: end here, and say what would come."""
    by, steps = options.by, options.steps
    count = options.random or (len(find_images(options.images)) if options.images else 0)
    passes = inverting_passes(count, steps, options.inverting) + count * steps
    learning = count * steps * EDITED * getattr(getattr(by, "train", None), "epochs", 0)
    if isinstance(by, Jacobian):
        learning = 2 * count * by.components * by.timesteps * by.iterations
    would = f"find directions by {by.name} on {count} images, into {options.out}"
    foresee(would, model, passes, options.network.at_once, learning, count * steps)


def check(options: Find) -> None:
    """Refuse what cannot work before anything is loaded."""
    check_results(options.out, options.images, ["find.json"])
    if options.out.suffix == ".safetensors":
        raise AsyrpError(f"--out must be a folder; got {str(options.out)!r}")
    if options.random < 0:
        raise AsyrpError(f"--random must be 0 or more; got {options.random}")
    if options.images is not None and options.random:
        raise AsyrpError("--images and --random were given; needed one of them")
    if "images" in options.by.needs and options.images is None and not options.random:
        raise AsyrpError(f"--by {options.by.name} needs --images DIR or --random N to look at")
    if "after" in options.by.needs and options.images is None:
        raise AsyrpError("--by pairs needs --images DIR, the images before the edit")
    if options.t_edit is not None:
        edit_interval(options.t_start, options.t_edit, options.t_boost or 0)
    if isinstance(options.by, Clip) and options.by.train.steps not in (20, options.steps):
        raise AsyrpError("the grid of find is --steps; leave --train.steps out")
    if options.by.name in ("labels", "pca", "jacobian"):
        need("sklearn", "find")
    if assemble(options.network.device).size > 1:
        raise AsyrpError("find works in one process; start it without accelerate launch")


def searched(model: HSpaceUNet, options: Find, looked: Looked) -> Sequence[FoundDirection]:
    """The directions, found with a progress bar."""
    check_needs(options.by, looked.data)
    found: Sequence[FoundDirection] = ()
    with tqdm(desc=f"finding by {options.by.name}") as bar:
        for step in options.by.find(model, looked.data):
            bar.total = step.total
            bar.update(step.done - bar.n)
            if step.loss is not None:
                bar.set_postfix(loss=f"{step.loss:.4f}")
            found = step.directions
    return found


def files_of(found: Sequence[FoundDirection]) -> list[str]:
    """A file's stem for each direction, after its name; several of one name are numbered."""
    stems: list[str] = []
    for one in found:
        stem = stem_of(one.name) or "direction"
        same = sum(other == stem or other.startswith(f"{stem}--") for other in stems)
        stems.append(f"{stem}--{same + 1}" if same else stem)
    return stems


def texts_of(options: Find) -> list[str]:
    """The texts that names are chosen among; none where there are none for this encoder."""
    if options.names is not None:
        return read_texts(options.names)
    sources = map(source_of, built_in())
    own = (one.TASKS for one in sources if one.NETWORKS.encoder == options.guides.encoder)
    return [task.target for task in next(own, {}).values()]


def named(
    model: HSpaceUNet, found: FoundDirection, looked: Looked, texts: Sequence[str], options: Find
) -> Name | None:
    """The texts that editing moves towards; None without texts or with a single image."""
    few, encoder = looked.few.latents[:NAMED_ON], looked.data.encoder
    if not texts or encoder is None or len(few) < 2:
        return None
    act = SavedDirection(found.direction, card_of(model, found, looked, options, None)).attribute()
    moved = movement(model, act, few, encoder, options.steps, options.network.at_once)
    return name_of(moved, text_directions(encoder, texts, options.noun), texts)


def told(file: str, name: Name | None) -> str:
    """One line of what a direction is."""
    if name is None:
        return f"{file}: found"
    if not name.plus:
        return f"{file}: no text is near"
    best, ties = name.plus[0], [one.text for one in name.plus if one.tie]
    line = f"{file}: {best.text} (cosine {best.cosine:.2f}, {best.low:.2f} to {best.high:.2f})"
    return line + (f", tied with {', '.join(ties)}" if ties else "")


def card_of(
    model: HSpaceUNet, found: FoundDirection, looked: Looked, options: Find, name: Name | None
) -> DirectionCard:
    """The card: the finder, its settings, what it looked at, and what the direction explains."""
    source, target = found.texts
    if not target:
        source = options.noun or "image"
        target = name.plus[0].text if name is not None and name.plus else found.name
    data = {"images": len(looked.data.latents), "left_out": len(looked.left_out)}
    settings = {
        key: _file_name(value) if key in FILES or isinstance(value, Path) else value
        for key, value in asdict(options.by).items()
    }
    about: dict[str, Any] = {
        "finder": options.by.name,
        "settings": settings,
        "data": {**data, "samples": options.random},
        "explains": found.explains,
    }
    if name is not None:
        about["name"] = {**name.as_json(), "encoder": options.guides.encoder}
    return DirectionCard(
        source,
        target,
        *(looked.interval.t_edit, looked.interval.t_boost),
        trained_steps=options.steps,
        fingerprint=model.fingerprint(),
        encoder=found.encoder,
        text_cosine=found.text_cosine,
        strength=options.strength,
        t_start=looked.interval.t_start,
        region=found.region,
        training=plain(about),
    )


def _file_name(value: str | Path | tuple[str, ...]) -> Any:
    """Of a file its name alone: a card travels, and folders tell whose it was."""
    if isinstance(value, tuple):
        return [_file_name(one) for one in value]
    return Path(value).name


def write(
    model: HSpaceUNet,
    options: Find,
    looked: Looked,
    names: Sequence[str],
    saved: Sequence[SavedDirection],
) -> dict[str, Any]:
    """All files of a search, or none; what find.json says."""
    few = looked.few.latents[:MOST_SHOWN]
    with atomic_folder(options.out) as out:
        for name, one in zip(names, saved, strict=True):
            save_direction(out / f"{name}.safetensors", *one)
            write_png(out / f"{name}.png", sheet(model, one, few, options))
        cards = {name: asdict(one.card) for name, one in zip(names, saved, strict=True)}
        result = record("find", options, model, directions=cards, strengths=STRIP)
        write_json(out / "find.json", result)
    return result


@torch.no_grad()
def sheet(model: HSpaceUNet, saved: SavedDirection, few: Tensor, options: Find) -> Tensor:
    """Strips of a few images, one a row, from strength -2 to 2, as one picture (3, H, W)."""
    edits = [[saved.attribute(saved.card.strength * factor)] for factor in STRIP]
    how = (EDIT_STEPS, saved.card.t_boost, options.seed, options.network.at_once)
    strips = strip(model, few, edits, *how)
    return contact_sheet([model.space.decode(strips[:, i]) for i in range(strips.shape[1])])
