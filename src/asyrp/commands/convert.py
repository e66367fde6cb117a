"""asyrp convert."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from asyrp.commands.common import fact
from asyrp.commands.outputs import check_direction
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import check_fits, save_direction
from asyrp.method.directions import ImplicitDirection, TimestepDirection
from asyrp.networks import load_model
from asyrp.networks.convert.convert import (
    TORCH_SUFFIXES,
    convert,
    convert_back,
    write_folder,
    write_weights,
)
from asyrp.networks.convert.detect import Detected, detect
from asyrp.networks.convert.hyperparameters import read_hyperparameters
from asyrp.networks.convert.verify import LIMIT, Proof
from asyrp.networks.latent_pipeline import Prompt
from asyrp.networks.presets import find_preset
from asyrp.networks.released_directions import convert_direction, foreign, read_known, to_original
from asyrp.options.files import Convert
from asyrp.runtime.download import fetch_url, is_url
from asyrp.storage.files import read_object
from asyrp.storage.outputs import check_file, digest_of
from asyrp.storage.untrusted.tensors import read_checkpoint


def run(options: Convert) -> dict[str, Any]:
    """Convert, prove, say what was assumed, write."""
    if options.back:
        _back(options)
        return {"out": options.out}
    path = fetch_url(options.file) if is_url(options.file) else Path(options.file)
    if path.is_dir():
        raise AsyrpError(f"{options.file!r} is a folder already; --back makes an original file")
    found = detect(read_checkpoint(path), repr(options.file))
    (_direction if found.kind.endswith("direction") else _network)(options, path, found)
    return {"out": options.out, "kind": found.kind}


def _network(options: Convert, path: Path, found: Detected) -> None:
    if options.out.suffix in (".safetensors", *TORCH_SUFFIXES):
        raise AsyrpError(f"a network becomes a folder; {str(options.out)!r} looks like a file")
    said, ignored = read_hyperparameters(_config(options))
    preset = find_preset(options.preset) if options.preset else None
    if preset is not None:
        said = said.over(preset.said)
    done = convert(found, said)
    write_folder(options.out, done, {"file": path.name, "sha256": digest_of(path)})
    structure = done.structure
    fact("family", structure.family.upper())
    fact("parameters", f"{sum(value.numel() for value in done.state.values()):,}")
    fact("levels", f"{structure.widths}, {structure.blocks} resnets each")
    fact("class", type(done.unet).__name__)
    _tell_all("assumed", done.assumed)
    _tell_all("not used", [", ".join(ignored)] if ignored else [])
    _tell_all("licence", [preset.licence] if preset else [])
    _tell_proof(done.proof)
    fact("wrote", options.out)


def _config(options: Convert) -> dict[str, Any]:
    return read_object(options.config) if options.config else {}


def _direction(options: Convert, path: Path, found: Detected) -> None:
    _check_file(options.out, (".safetensors",))
    check_direction(options.out)
    values = _config(options)
    known = read_known(values)
    if options.cosine is not None:
        known = replace(known, cosine=options.cosine)
    model, fingerprint = None, ""
    if options.model is not None:
        prompt = Prompt(options.prompt, options.guidance)
        model = load_model(options.model, prompt=prompt, class_label=options.class_label)
        fingerprint = model.fingerprint()
    preset = find_preset(options.preset) if options.preset else None
    done = convert_direction(found, path.name, known, fingerprint, preset)
    if model:
        check_fits(path, done.direction, model)
    save_direction(options.out, done.direction, done.card)
    fact("direction", _what(done.direction))
    fact("texts", f"{done.card.source!r} -> {done.card.target!r}")
    fact("intervals", f"t_edit {done.card.t_edit}, t_boost {done.card.t_boost}")
    fact("trained on", f"{done.card.trained_steps} steps")
    _tell_all("assumed", done.assumed)
    _tell_all("not used", [", ".join(names)] if (names := foreign(values)) else [])
    fact("wrote", options.out)


def _what(direction: nn.Module) -> str:
    if isinstance(direction, ImplicitDirection):
        time = "" if direction.use_time else ", without the time embedding"
        return f"f_t, {direction.layout.upper()} layout{time}"
    if isinstance(direction, TimestepDirection):
        times = direction.times
        return f"dh at {len(times)} timesteps, {times[-1]} down to {times[0]}"
    return "one dh for all timesteps"


def _back(options: Convert) -> None:
    _check_file(options.out, (".safetensors", *TORCH_SUFFIXES))
    check_file(options.out, ours=False)  # an original file has no mark of ours
    source = Path(options.file)
    if source.is_dir():
        done = convert_back(source)
        write_weights(options.out, done.weights)
        _tell_all("assumed", done.assumed)
        _tell_proof(done.proof)
    else:
        write_weights(options.out, *to_original(source))
    fact("wrote", options.out)


def _check_file(out: Path, suffixes: tuple[str, ...]) -> None:
    if out.suffix not in suffixes or out.is_dir():
        raise AsyrpError(f"--out must be a {' or '.join(suffixes)} file here; got {str(out)!r}")
    if not out.absolute().parent.is_dir():
        raise AsyrpError(f"the folder of --out must exist; {str(out.parent)!r} does not; make it")


def _tell_all(name: str, values: Iterable[object]) -> None:
    for value in values:
        fact(name, value)


def _tell_proof(proof: Proof) -> None:
    height, width = proof.size
    fact(
        "largest difference",
        f"{proof.difference:.2e} of the largest value, original formulation against converted, on "
        f"random {height} x {width} images at t = {', '.join(map(str, proof.timesteps))} "
        f"(limit {LIMIT:g})",
    )
