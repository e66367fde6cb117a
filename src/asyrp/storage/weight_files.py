"""Which files of a folder are its weights: the layouts that people have, and which is taken."""

import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from asyrp.errors import AsyrpError

NAME = re.compile(
    r"(diffusion_pytorch_model|model|pytorch_model)"
    r"(?:\.(?P<variant>[\w-]*?))?(?P<shard>-\d{5}-of-\d{5})?(?:\.(?P<behind>[\w-]+))?"
    r"\.(?P<kind>safetensors|bin)"
)
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
# what an average over training or an adapter is called, as a word of a name
OTHER = re.compile(r"(?<![a-z])(ema|lora|adapter)(?![a-z])", re.IGNORECASE)
_SAFE = ("diffusion_pytorch_model", "model")
_PICKLED = ("diffusion_pytorch_model", "pytorch_model")
# What to ask the Hub for, best first: whole files and shards, then pickles, then variants alone.
HUB_FILES: tuple[tuple[str, ...], ...] = (
    tuple(f"{n}{end}" for n in _SAFE for end in (".safetensors", "-?????-of-?????.safetensors")),
    tuple(f"{n}{end}" for n in _PICKLED for end in (".bin", "-?????-of-?????.bin")),
    tuple(f"{n}[.-]*.safetensors" for n in _SAFE),
)


class Chosen(NamedTuple):
    """Files that make up one set of weights, and its variant ("fp16"); None for the plain one."""

    names: tuple[str, ...]
    variant: str | None


def choose(names: Collection[str]) -> Chosen | None:
    """The set of weights among the names of a folder; None where there is none.

    Plain goes before a variant, safetensors before pickles, a whole file before shards.

    Raises:
        AsyrpError: several variants alone, or two sets of equal right, as shards of two splits.
    """
    sets: dict[tuple[bool, str, str, bool], list[str]] = {}
    for name in sorted(names):
        if found := NAME.fullmatch(name):
            variant = found["variant"] or found["behind"] or ""
            kind = (bool(variant), found["kind"], variant, bool(found["shard"]))
            sets.setdefault(kind, []).append(name)
    order = sorted(sets, key=lambda kind: (kind[0], kind[1] != "safetensors", kind[2], kind[3]))
    if not order:
        return None
    first = order[0]
    variants = sorted({kind[2] for kind in order if kind[1] == first[1]})
    if first[0] and len(variants) > 1:
        raise AsyrpError(
            f"only variants of the weights are there: {', '.join(variants)}; needed: one of them, "
            f"or a file without such a word, as {first[2]!r} renamed away from {sets[first][0]!r}"
        )
    kinds = {re.sub(r"-\d{5}-of-", "-of-", name): name for name in sets[first]}
    if len(kinds) > 1:
        raise AsyrpError(
            f"two sets of weights are there, of {' and of '.join(map(repr, kinds.values()))}; "
            "needed: one; move the files of the other away"
        )
    return Chosen(tuple(sets[first]), first[2] or None)


def has_weights(folder: Path) -> bool:
    """Whether a part of a pipeline has weights; what has no config is no part of it."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return "config.json" not in names or choose(names) is not None


def chosen_in(folder: Path) -> Chosen:
    """`choose` for a folder, telling of a variant and of what is left; AsyrpError for none."""
    names = [path.name for path in folder.iterdir() if path.is_file()]
    try:
        found = choose(names)
    except AsyrpError as error:
        raise AsyrpError(f"{str(folder)!r}: {error}") from error
    if found is None:
        raise AsyrpError(
            f"needed weights in {str(folder)!r}, such as diffusion_pytorch_model.safetensors or "
            "model.safetensors; it has none"
        )
    if found.variant:
        warnings.warn(
            f"{str(folder)!r} holds its weights as the variant {found.variant!r} alone, which is "
            "taken",
            stacklevel=3,
        )
    name_others(folder, found.names, repr(found.names[0]))
    return found


def name_others(folder: Path, taken: Collection[str], what: str) -> None:
    """Warn of what lies in a folder and means another network: averages, and adapters.

    Args:
        taken: names that are read. what: those, in the message.
    """
    left = [one.name for one in sorted(folder.iterdir()) if one.name not in taken and _other(one)]
    if left:
        warnings.warn(
            f"{str(folder)!r}: {what} is taken, and nothing is made of "
            f"{', '.join(map(repr, left)):.300}; averages have to be renamed, and adapters to be "
            "merged",
            stacklevel=4,
        )


def _other(path: Path) -> bool:
    is_part = path.is_dir() or path.suffix in WEIGHTS or path.name == "adapter_config.json"
    return is_part and OTHER.search(path.name) is not None
