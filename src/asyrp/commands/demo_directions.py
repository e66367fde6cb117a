"""The directions of `asyrp demo`: those that ship, or trained on images of the domain."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from asyrp.commands.outputs import on_domain
from asyrp.commands.train import checkpoint_of, gather, train
from asyrp.domains.base import Domain, Split, Task, guide_of
from asyrp.domains.shipped import load_named, shipped_for
from asyrp.errors import AsyrpError
from asyrp.experiments.measure import pictures_of
from asyrp.method.direction_file import SavedDirection
from asyrp.options.domains import Demo
from asyrp.options.editing import Train
from asyrp.options.shared import Network
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import write_png
from asyrp.storage.outputs import others


def asked_in_words(options: Demo) -> bool:
    """Whether an edit of the user's own is to be made."""
    return bool(options.source or options.target or options.factor or options.value)


def direction_of(
    domain: Domain, task: Task, options: Demo, seconds: dict[str, float]
) -> SavedDirection:
    """The direction that ships for a task, or one that is trained as `asyrp train` does it."""
    if is_ready(domain, task, options):
        return load_named(Path(task.name), domain.model)
    images = options.out / "images"
    if not images.is_dir():
        with timed(seconds, "write images"):
            write_training_images(domain, images, options)
    job = on_domain(
        Train(
            task.source,
            (task.target,),
            options.out / f"{task.name}.safetensors",
            images=images,
            validation=options.validation_images,
            training=options.training,
            network=Network(domain=options.domain, dtype=options.dtype),
        )
    )
    guide, model = guide_of(domain, task), domain.model
    with timed(seconds, f"{task.name}: invert, find intervals"):
        material = gather(model, [guide], job)
    with timed(seconds, f"{task.name}: train"):
        (saved,) = train(model, material, job)
        checkpoint_of(job).unlink(missing_ok=True)
    return saved


def is_ready(domain: Domain, task: Task, options: Demo) -> bool:
    """Whether a direction ships for just this."""
    ready = shipped_for(domain.model.fingerprint())
    return not options.anew and not asked_in_words(options) and task.name in ready


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Keep the seconds of a stage."""
    started = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - started, 2)


def write_training_images(domain: Domain, folder: Path, options: Demo) -> None:
    """Images of `train`, then of `validation`, whose names come last and are held out."""
    before = [path.name for path in folder.glob("*.png")]
    if others(folder, before):
        raise AsyrpError(
            f"{str(folder)!r} holds pictures that no demo drew; give another folder with --out"
        )
    for name in before:  # of an earlier demo, perhaps with other numbers of images
        (folder / name).unlink()
    counts = {"train": options.train_images, "validation": options.validation_images}
    with atomic_folder(folder) as made:
        for split, count in counts.items():
            if count:
                x = domain.images(cast(Split, split), count).x
                for index, picture in enumerate(pictures_of(domain.model, x)):
                    write_png(made / f"{split}-{index:05d}.png", picture)
