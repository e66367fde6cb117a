"""What `find` gives to its finder: latents, interval, labels, pairs, masks, directions."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.commands.common import describe, progress, say
from asyrp.commands.find_labels import labels_for
from asyrp.commands.inverting import drawn, folder_images, inverter_of
from asyrp.domains.base import built_in, source_of
from asyrp.domains.shipped import load_named
from asyrp.errors import AsyrpError
from asyrp.experiments.measure import pictures_of
from asyrp.finders.amortised import parsed, read_text_pairs
from asyrp.finders.base import FinderData
from asyrp.finders.catalogue import Amortised, Clip, Compose, Jacobian, Labels, Pairs
from asyrp.finders.labels import checked
from asyrp.finders.masks import picture_mask, segment_mask
from asyrp.finders.prepare import EDIT_STEPS, Pictures, curves_of, parse_direction
from asyrp.finders.unfinished import kept, key_of
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import latents_of
from asyrp.method.editing_interval import EditInterval, Given, find_intervals
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import TextImageEncoder
from asyrp.method.region import polygon_mask
from asyrp.method.text_direction import new_text_direction, text_cosine
from asyrp.method.unedited_trajectory import editing_window
from asyrp.metrics.structure import Segmenting
from asyrp.options.finding import Find
from asyrp.scorers.load import distance_for

MOST_MEASURED = 16  # images for the LPIPS curves, the strips and the names
FEW_SAMPLES = 4  # where a finder looks at none of its own


class Looked(NamedTuple):
    """What a finder is given, its interval, and a few images at T to show and name directions.

    left_out: names of images without a label.
    """

    data: FinderData
    interval: EditInterval
    few: Pictures
    left_out: Sequence[str] = ()


def look(model: HSpaceUNet, options: Find, encoder: TextImageEncoder | None, state: Path) -> Looked:
    """Read, label and invert; what may be refused is refused before the long work."""
    check_texts(options, encoder)
    saved, found = directions_of(model, options), source_of_images(model, options)
    labels, left_out = None, list[str]()
    if isinstance(options.by, Labels):
        labels, rows, left_out = labels_for(model, options.by, found.images, found.names)
        checked(labels)
        found = found.at(rows)
    second, mask = second_of(model, options, found), mask_of(model, options, found.images)
    few = found.few(model, options)
    interval = interval_for(model, options, few, encoder, saved[0])
    at = None if found.names is None else interval.t_start
    ends = (interval.t_start, interval.t_edit)
    window = editing_window(*ends, options.steps, model.schedule.length, at)
    latents = found.latents(model, options, interval.t_start, state)
    if options.images is None and not options.random:
        latents = latents[:0]  # a composition of tables alone looks at no image
    data = FinderData(
        latents,
        window,
        found.images,
        labels,
        None if second is None else second.latents(model, options, interval.t_start, state),
        encoder,
        *saved,
        steps=options.steps,
        batch_size=options.network.at_once,
        state=state,
        mask=mask,
    )
    return Looked(data, interval, few, left_out)


def check_texts(options: Find, encoder: TextImageEncoder | None) -> None:
    """Raise AsyrpError for texts that a finder will not take."""
    if isinstance(options.by, Clip) and encoder is not None:
        new_text_direction(encoder, options.by.source, options.by.target)
    if isinstance(options.by, Amortised) and encoder is not None:
        for pair in (*read_text_pairs(options.by.texts), *map(parsed, options.by.ask)):
            new_text_direction(encoder, *pair)


class Source(NamedTuple):
    """Images as x of the network, (n, c, height, width).

    names: of their files, None for samples. noise: x_T of samples.
    """

    images: Tensor
    names: list[str] | None = None
    noise: Tensor | None = None

    def at(self, rows: Tensor) -> "Source":
        """Some of them."""
        names = None if self.names is None else [self.names[i] for i in rows.tolist()]
        return Source(self.images[rows], names, None if self.noise is None else self.noise[rows])

    def few(self, model: HSpaceUNet, options: Find) -> Pictures:
        """The last of them at T on the grid of editing."""
        images, names = self.images[-MOST_MEASURED:], (self.names or [])[-MOST_MEASURED:]
        if self.noise is not None:
            return Pictures(images, self.noise[-MOST_MEASURED:])
        done = inverter_of(model, options, EDIT_STEPS)(images, names)
        return Pictures(done.reconstructions, done.latents)

    def latents(self, model: HSpaceUNet, options: Find, t_start: int, state: Path) -> Tensor:
        """At t_start on the grid of finding, in batches that `state` keeps; or x_T of samples."""
        if self.noise is not None:
            return self.noise
        inverter_of(model, options, options.steps)  # checks the grid
        how = (options.steps, options.inverting.convention, options.inverting.refinements)
        known = ("latents", model.fingerprint(), *how, t_start)
        parts, count = [], len(self.images)
        with progress(f"inverting {count} images", "image") as report:
            for x in self.images.split(options.network.at_once):

                def work(x: Tensor = x) -> dict[str, Tensor]:
                    return {"x": latents_of(model, x, *how, len(x), up_to=t_start)}

                parts.append(kept(state, key_of(*known, x), work)["x"].to(model.device))
                report(sum(map(len, parts)), count)
        return torch.cat(parts)


def source_of_images(model: HSpaceUNet, options: Find) -> Source:
    """The images of a folder, or samples of the network."""
    if options.images is not None:
        folder = folder_images(options.images, model)
        return Source(folder.stacked(), folder.names)
    count, size = options.random or FEW_SAMPLES, options.network.at_once
    made = drawn(model, count, options.seed, EDIT_STEPS, size)
    return Source(made.images, None, made.latents)


def interval_for(
    model: HSpaceUNet,
    options: Find,
    few: Pictures,
    encoder: TextImageEncoder | None,
    parts: Sequence[SavedDirection],
) -> EditInterval:
    """The timesteps asked for; the rest from the parts of `compose`, or from the LPIPS curves."""
    given = Given(options.t_start, options.t_edit, options.t_boost)
    if isinstance(options.by, Compose):
        top = model.schedule.length - 1
        own = Given(
            max(top if one.card.t_start is None else one.card.t_start for one in parts),
            min(one.card.t_edit for one in parts),
            min(one.card.t_boost for one in parts),
        )
        given = Given(*(o if g is None else g for g, o in zip(given, own, strict=True)))
    if given.t_start is not None and given.t_edit is not None and given.t_boost is not None:
        return EditInterval(given.t_start, given.t_edit, given.t_boost)
    cosine = 1.0
    if isinstance(options.by, Clip) and encoder is not None:
        cosine = text_cosine(encoder, options.by.source, options.by.target)
    distance = distance_for(model, options.guides.distance)
    curves = curves_of(model, few.images, few.latents, distance, EDIT_STEPS)
    found = find_intervals(curves, cosine, distance.thresholds, given)
    say(describe(found, cosine))
    return found.interval


def second_of(model: HSpaceUNet, options: Find, found: Source) -> Source | None:
    """The second image of each pair, of the same stem (AsyrpError: an image has none)."""
    if not isinstance(options.by, Pairs):
        return None
    folder, names = options.by.after, found.names or []
    second = folder_images(folder, model)
    rows = {Path(name).stem: row for row, name in enumerate(second.names)}
    missing = [name for name in names if Path(name).stem not in rows]
    if missing:
        raise AsyrpError(
            f"pairs need an image of the same stem in {str(folder)!r} for each one; "
            f"{len(missing)} of {len(names)} have none, such as {missing[0]!r}"
        )
    order = torch.tensor([rows[Path(name).stem] for name in names])
    return Source(second.stacked(), second.names).at(order)


def directions_of(
    model: HSpaceUNet, options: Find
) -> tuple[list[SavedDirection], list[SavedDirection]]:
    """What `compose` adds up, and what it leaves out."""
    if not isinstance(options.by, Compose):
        return [], []
    files = [parse_direction(text)[0] for text in options.by.directions]
    if not files:
        raise AsyrpError("--by compose needs --directions FILE[:WEIGHT] ...; got none")
    parts = [load_named(path, model) for path in files]
    return parts, [load_named(Path(text), model) for text in options.by.without]


def mask_of(model: HSpaceUNet, options: Find, images: Tensor) -> Tensor | None:
    """Where to look or edit, (height, width) of x; None for everywhere."""
    by, size = options.by, model.image_shape[1:]
    if isinstance(by, Jacobian | Compose) and by.mask is not None:
        return picture_mask(by.mask, size)
    if isinstance(by, Compose) and by.polygon:
        return polygon_mask(by.polygon, size)
    if isinstance(by, Compose) and by.segments:
        segmenter = segmenter_of(by.segmenter, options.network.device)
        return segment_mask(segmenter, pictures_of(model, images), by.segments)
    return None


def segmenter_of(name: str, device: str) -> Segmenting:
    """A segmentation network by name."""
    if name in built_in():
        found = source_of(name).scorers(device).segmenter
        if found is None:
            raise AsyrpError(f"{name} has no segmenter; give a folder or a Hub id of one")
        return found
    from asyrp.scorers.segmentation import load_segmenter

    return load_segmenter(name, device)
