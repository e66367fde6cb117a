"""Original checkpoints to diffusers folders and back, each conversion proved before it is kept."""

import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError, first_line
from asyrp.method.schedule import LONGEST
from asyrp.networks.convert.build import new_unet, structure_of_config, unet_config
from asyrp.networks.convert.defaults import ORDERS, resolve
from asyrp.networks.convert.detect import Detected
from asyrp.networks.convert.families import FAMILIES, family_of
from asyrp.networks.convert.hyperparameters import Hyperparameters, Resolved
from asyrp.networks.convert.rename import to_diffusers, to_original
from asyrp.networks.convert.structure import Structure
from asyrp.networks.convert.verify import Proof, noise_left, prove, scheduler_config
from asyrp.storage.files import atomic_path, read_object, save_tensors
from asyrp.storage.finite import check_finite
from asyrp.storage.json_files import write_json
from asyrp.storage.unfinished import unfinished
from asyrp.storage.untrusted.configs import check_config, check_values, count_pickled
from asyrp.storage.untrusted.tensors import read_checkpoint

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler_config.json"
RECORD = "conversion.json"  # what the other files cannot hold; its presence marks our folders
PARTS = {CONFIG, WEIGHTS, SCHEDULER, RECORD}

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt")


class Converted(NamedTuple):
    """A network in diffusers' form.

    unet: with its weights, float32. state: the same in the precision of the file. assumed: a line
    for each hyper-parameter that was filled in.
    """

    unet: Any
    state: dict[str, Tensor]
    structure: Structure
    resolved: Resolved
    assumed: tuple[str, ...]
    proof: Proof


def convert(found: Detected, said: Hyperparameters) -> Converted:
    """The network of a checkpoint in diffusers' form, proved equal to 1e-4.

    Raises:
        AsyrpError: no network, unfitting hyper-parameters or keys, or a larger difference.
    """
    if found.kind not in FAMILIES:
        raise AsyrpError(
            f"needed a network; the file holds a direction ({found.kind}); turn it into a "
            "direction file with asyrp convert"
        )
    check_finite(found.tensors)
    structure = FAMILIES[found.kind].structure_of(found.tensors)
    resolved, assumed = resolve(structure, said)
    if found.place:
        assumed = (f"weights taken from {found.place!r} within the file", *assumed)
    try:
        config = unet_config(structure, resolved)
        state = to_diffusers(found.tensors, structure, config, resolved.new_order)
        unet = _loaded(config, state)
    except (RuntimeError, KeyError, ValueError, IndexError, TypeError) as error:
        if isinstance(error, AsyrpError):
            raise
        raise AsyrpError(
            f"the tensors are not those of one network: {first_line(error)}"
        ) from error
    proof = prove(found.tensors, structure, resolved, unet)
    if doubt := noise_left(unet, structure, resolved).doubt:
        assumed = (*assumed, doubt)
    return Converted(unet, state, structure, resolved, assumed, proof)


def _loaded(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
    with torch.device("meta"):
        unet = new_unet(config)
    # the tensors themselves, in float32: nothing is initialised or held twice
    unet.load_state_dict({k: v.float() for k, v in state.items()}, strict=True, assign=True)
    return unet.eval().requires_grad_(False)


def write_folder(folder: Path, converted: Converted, record: Mapping[str, Any]) -> None:
    """A diffusers folder: config, weights, scheduler, and conversion.json; whole or not at all.

    Raises:
        AsyrpError: the folder holds something else.
    """
    if folder.is_file():
        raise AsyrpError(f"needed a folder to write to; {str(folder)!r} is a file")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held and not {RECORD} <= held <= PARTS:
        raise AsyrpError(
            f"{str(folder)!r} holds something else; name a new folder, or empty this one"
        )
    with _written(folder, converted, record) as new:
        _put_in_place(new, folder)


def keep_folder(folder: Path, converted: Converted, record: Mapping[str, Any]) -> None:
    """`write_folder` for a cache: of processes that write the same, the first one's stays."""
    with _written(folder, converted, record) as new:
        try:
            new.rename(folder)
        except OSError:
            if not (folder / CONFIG).is_file():
                raise


@contextmanager
def _written(folder: Path, converted: Converted, record: Mapping[str, Any]) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    described = {
        "family": converted.structure.family,
        "hyper_parameters": converted.resolved._asdict(),
        "assumed": converted.assumed,
        "largest_difference": converted.proof.difference,
        "at_timesteps": converted.proof.timesteps,
    }
    with unfinished(folder.parent) as place:
        temporary = place / "new"
        temporary.mkdir()
        converted.unet.save_config(temporary)
        write_weights(temporary / WEIGHTS, converted.state)
        write_json(temporary / SCHEDULER, scheduler_config(converted.resolved))
        write_json(temporary / RECORD, {**described, **record})
        yield temporary


def _put_in_place(new: Path, folder: Path) -> None:
    """`new` becomes `folder`; what stood there goes away after."""
    if not folder.exists():
        new.rename(folder)
        return
    # no name that is ever taken for an unfinished one: a kill from here on must lose nothing
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:100]}.before-"))
    folder.rename(old / "old")
    try:
        new.rename(folder)
    except BaseException:
        (old / "old").rename(folder)
        old.rmdir()
        raise
    shutil.rmtree(old)


class Restored(NamedTuple):
    """A network under its original names again, how far the two differ, and what was assumed."""

    weights: dict[str, Tensor]
    proof: Proof
    assumed: tuple[str, ...]


def convert_back(folder: Path) -> Restored:
    """The network of a diffusers folder under the names of its family.

    Of a folder that `write_folder` made, the tensors are those of the original file, bit for bit.

    Raises:
        AsyrpError: not such a folder, or a network without an original form.
    """
    config = {k: v for k, v in read_object(folder / CONFIG).items() if not k.startswith("_")}
    path = folder / WEIGHTS
    if not path.is_file():
        raise AsyrpError(f"needed {WEIGHTS} in {str(folder)!r}; it has none")
    check_config(config, folder)
    try:
        structure = structure_of_config(config)
        resolved = _resolved_of(folder, config)
        state: dict[str, Tensor] = read_checkpoint(path)
        check_values(lambda: new_unet(config), count_pickled(state), folder)
        check_finite(state)
        unet = _loaded(config, state)
        weights = to_original(state, structure, config, resolved.new_order)
        told = (folder / RECORD).is_file() or not family_of(structure).openai
        assumed = () if told else (ORDERS[resolved.new_order],)
        return Restored(weights, prove(weights, structure, resolved, unet), assumed)
    except AsyrpError:
        raise
    except Exception as error:  # a config of somebody else fails in any way
        raise AsyrpError(
            f"the weights in {str(folder)!r} do not fit its config: {first_line(error)}"
        ) from error


def _resolved_of(folder: Path, config: Mapping[str, Any]) -> Resolved:
    """From conversion.json; for other folders, the heads of the config and the usual rest."""
    if (folder / RECORD).is_file():
        record = read_object(folder / RECORD)
        try:
            resolved = Resolved(**record["hyper_parameters"])
            if not 2 <= resolved.timesteps <= LONGEST:
                raise ValueError(f"it has {resolved.timesteps} timesteps")
            return resolved
        except (KeyError, TypeError, ValueError) as error:
            raise AsyrpError(f"{str(folder / RECORD)!r} is damaged: {first_line(error)}") from error
    dim = config.get("attention_head_dim", 8)
    if isinstance(dim, list | tuple):
        raise AsyrpError(f"{str(folder)!r} lacks its {RECORD}; convert the original file again")
    size = config.get("sample_size") or 0
    heads = 1 if dim is None else None
    return Resolved(size, heads, dim, None, False, 1000, "linear", 1e-4, 0.02, False, "epsilon")


def write_weights(path: Path, weights: Mapping[str, Tensor], place: str = "") -> None:
    """A state dict as safetensors, or as a torch checkpoint where the suffix asks for one.

    Args:
        place: the key under which a torch checkpoint holds it; none for the whole file.
    """
    if path.suffix not in TORCH_SUFFIXES:
        save_tensors(path, weights, {"format": "pt"})
        return
    content = {place: dict(weights)} if place else dict(weights)
    with atomic_path(path) as temporary:  # the original repositories read nothing else
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # of a full disk; tensors in a dict give it no other reason
            told = "the file cannot be written to its end"
            raise OSError(errno.ENOSPC, told, str(temporary)) from error
