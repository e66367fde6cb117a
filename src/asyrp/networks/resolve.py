"""From what a user names to a diffusers folder on this machine: fetched and converted once."""

import hashlib
import json
import warnings
from pathlib import Path

from asyrp.errors import AsyrpError
from asyrp.networks import latent_pipeline as latent
from asyrp.networks.convert.convert import TORCH_SUFFIXES, convert, keep_folder
from asyrp.networks.convert.detect import detect
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.presets import PRESETS, Preset, WeightSource
from asyrp.runtime.download import (
    cache_folder,
    fetch,
    fetch_url,
    hub_file,
    hub_folder,
    is_url,
    parse_source,
)
from asyrp.storage.outputs import digest_of
from asyrp.storage.shipped import shipped
from asyrp.storage.untrusted.tensors import read_checkpoint

BUILT_IN = {"avatars-64": "avatars", "photographs-64": "photographs"}  # network -> domain
SUFFIXES = (*TORCH_SUFFIXES, ".bin", ".safetensors")  # of files, which Hub ids do not end in
CONVERTER = 1  # raised when a converter changes what it writes, so that old copies are not used


def folder_of(spec: str, said: Hyperparameters | None = None) -> Path:
    """A diffusers folder for any spec of `load_model`; said: hyper-parameters of a file."""
    if spec in BUILT_IN:
        return shipped(f"asyrp.domains.{BUILT_IN[spec]}", "weights", spec)
    path = Path(spec)
    if path.is_dir():
        return path
    if path.is_file():
        return converted(path, said or Hyperparameters())
    if spec in PRESETS:
        return preset_folder(PRESETS[spec], said)
    if is_url(spec):
        return converted(fetch_url(spec), said or Hyperparameters())
    if path.suffix in SUFFIXES:
        raise AsyrpError(f"needed a checkpoint file; {spec!r} does not exist")
    if _is_hub_id(spec):
        return latent.download(spec) or hub_folder(spec)
    raise AsyrpError(
        f"unknown model {spec!r}; needed: a built-in name ({', '.join(BUILT_IN)}), a preset "
        f"({', '.join(PRESETS)}), a diffusers folder or an original checkpoint that exists, a URL "
        "with #sha256=..., or a Hub id such as google/ddpm-ema-celebahq-256"
    )


def _is_hub_id(spec: str) -> bool:
    owner, slash, name = spec.partition("@")[0].partition("/")
    return bool(slash and owner and name) and "/" not in name and not owner.startswith((".", "~"))


def converted(file: Path, said: Hyperparameters) -> Path:
    """The converted form of an original checkpoint, from the cache or made now.

    The copy is found by the file's SHA-256 and the hyper-parameters, not by its name.
    """
    given = json.dumps([CONVERTER, said.values()], sort_keys=True)
    key = f"{digest_of(file)[:24]}-{hashlib.sha256(given.encode()).hexdigest()[:8]}"
    folder = cache_folder() / "converted" / key
    if not (folder / "config.json").is_file():
        made = convert(detect(read_checkpoint(file), repr(str(file))), said)
        keep_folder(folder, made, {"file": file.name})
    return folder


def preset_folder(preset: Preset, said: Hyperparameters | None = None) -> Path:
    """The network of a preset: a file in the cache folder, or the first source that works."""
    whole = (said or Hyperparameters()).over(preset.said)
    by_hand = cache_folder() / "originals"
    for name in preset.files:
        if (by_hand / name).is_file():
            return converted(by_hand / name, whole)
    reasons = []
    for source in preset.sources:
        try:
            folder = _from_source(source, whole)
        except AsyrpError as error:
            reasons.append(str(error))
            continue
        if source.other:
            warnings.warn(
                f"{preset.name} came from {source.place}: other weights than the released "
                "directions were trained on, as far as is known",
                stacklevel=2,
            )
        return folder
    page = f" (by hand from {preset.by_hand})" if preset.by_hand else ""
    raise AsyrpError(
        f"no source of {preset.name!r} works; get {' or '.join(preset.files)}{page} and put it "
        f"into {by_hand}, or name the file itself. Tried: {'; '.join(reasons)}"
    )


def _from_source(source: WeightSource, said: Hyperparameters) -> Path:
    if source.kind == "hub":
        return hub_folder(source.place)
    if source.kind == "hub file":
        return converted(hub_file(source.place), said)
    return converted(fetch(*parse_source(source.place)), said)
