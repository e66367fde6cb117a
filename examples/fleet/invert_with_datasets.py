"""Invert a folder or a bucket with the `datasets` library: all workers add to one latent store.

    python invert_with_datasets.py --images "photos/*.png" --store latents --workers 4
    python invert_with_datasets.py --images "s3://bucket/photos/*.jpg" --store /shared/latents \
        --machine 3 --machines 64

Every machine takes its shard of the list, and every worker writes files of its own, so nothing is
locked and nothing is shared but the folder. A run that was killed is started again with the same
words: images that the store has are not inverted again.
"""

import argparse
import functools
from pathlib import Path

import torch
from datasets import Dataset
from fsspec.core import url_to_fs

from asyrp import load_model
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import invert_into, recipe_of
from asyrp.storage.image_sources import Item, Record, stream
from asyrp.storage.record_store import RecordStore

Columns = dict[str, list[str]]
TOGETHER = 64  # images of a call; each call writes one file


@functools.cache
def network(spec: str) -> HSpaceUNet:
    """One network a worker, on one thread: as many workers as processors keep all of them busy."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return load_model(spec)


@functools.cache
def store_at(folder: str) -> RecordStore:
    """One view of the store a worker; images that others add meanwhile are of other shards."""
    return RecordStore(Path(folder))


def listed(pattern: str) -> list[str]:
    """The files that a pattern stands for, in a folder or a bucket, sorted by name."""
    system, path = url_to_fs(pattern)
    return sorted(system.unstrip_protocol(name) for name in system.glob(path))


def read(path: str) -> Item:
    """A file as bytes; its name is its address."""
    system, place = url_to_fs(path)
    return Item(path, system.cat_file(place), {})


def invert_some(columns: Columns, model: str, store: str, steps: int, batch: int) -> Columns:
    """Invert the images at some paths; a key for each, "" for those that cannot be read."""
    net, kept = network(model), store_at(store)
    found = list(stream(map(read, columns["path"]), net.image_shape[1:]))
    good = [row for row, one in enumerate(found) if isinstance(one, Record)]
    images = [found[row].image for row in good]
    keys = [""] * len(found)
    for done in invert_into(kept, net, recipe_of(net, steps), images, batch):
        keys[good[done.row]] = done.key
    kept.flush()
    return {"path": columns["path"], "key": keys}


def invert_all(
    paths: list[str],
    model: str,
    store: str,
    steps: int = 40,
    batch: int = 16,
    workers: int | None = None,
) -> Dataset:
    """A row an image: its path, and its key in the store."""
    table = Dataset.from_dict({"path": paths})
    return table.map(
        invert_some,
        batched=True,
        batch_size=TOGETHER,
        num_proc=workers,
        load_from_cache_file=False,  # the store knows what is done
        fn_kwargs={"model": model, "store": store, "steps": steps, "batch": batch},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", required=True, help="pattern of files, as in 's3://b/*.png'")
    parser.add_argument("--store", required=True, help="folder that all workers see")
    parser.add_argument("--model", default="avatars-64")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--machine", type=int, default=0, help="number of this one, from 0")
    parser.add_argument("--machines", type=int, default=1)
    given = parser.parse_args()
    RecordStore(Path(given.store))  # made once, before the workers look for it
    own = listed(given.images)[given.machine :: given.machines]
    table = invert_all(own, given.model, given.store, given.steps, given.batch, given.workers)
    lost = sum(key == "" for key in table["key"])
    table.to_csv(Path(given.store) / f"keys-{given.machine:05d}.csv")
    print(f"{len(table) - lost} images are in {given.store}; {lost} could not be read")


if __name__ == "__main__":
    main()
