"""Every kind of file that a stranger may send: how it is spoilt, and who reads it."""

import functools
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from asyrp.app.pictures import Limits, read_upload
from asyrp.errors import AsyrpError
from asyrp.finders.training_checkpoint import TrainingCheckpoint
from asyrp.method.direction_file import KIND, _tensors, load_direction, read_card
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.method.latent_file import load_latents
from asyrp.method.schedule import from_config
from asyrp.networks import load_model
from asyrp.networks.convert.convert import convert, convert_back
from asyrp.networks.convert.detect import detect
from asyrp.networks.convert.hyperparameters import Hyperparameters, read_hyperparameters
from asyrp.networks.diffusers_folder import read_json
from asyrp.networks.released_directions import convert_direction, read_known, to_original
from asyrp.storage.files import header_of
from asyrp.storage.images import read_image
from asyrp.storage.record_store import MARKER, RecordStore, digest, key_of
from asyrp.storage.untrusted.tensors import read_checkpoint
from conftest import noise, tiny_model, tiny_unet
from doubles import every_direction, full_card, random_f_t
from faults import pickled, pictures, tensors
from faults.damage import damaged, json_bytes, json_mutated
from originals import Adm, Ddpm, adm_weights, ddpm_weights
from tiny_folders import latent_scheduler, tiny_latent_unet, tiny_vq

Files = dict[str, bytes]
RELEASED = Path(__file__).parent.parent / "data" / "released"


class Kind(NamedTuple):
    """Files of a kind: the first of those that `spoil` makes is given to `read`.

    listed: how many there are, where `spoil` takes their number instead of a generator.
    """

    name: str
    spoil: Callable[[Any], Files]
    read: Callable[[Path], object]
    listed: int = 0


@functools.cache
def model() -> HSpaceUNet:
    """The network that directions are read for."""
    return tiny_model()


# directions


def direction_files(rng: random.Random) -> Files:
    """Direction files."""
    direction = rng.choice(list(_directions().values()))
    held, layout = _tensors(direction)
    header = {"format": KIND.format, "version": "1", "layout": json.dumps(layout)}
    header["card"] = json.dumps(full_card(model()).__dict__)
    return {"a.safetensors": tensors.changed(held, header, rng)}


@functools.cache
def _directions() -> Mapping[str, Any]:
    return every_direction(model())


def read_direction(path: Path) -> object:
    """As `edit`, the app, `inspect` and `convert --back` read one."""
    refusals = [_tried(lambda: read_card(path)), _tried(lambda: to_original(path))]
    _tried(lambda: load_direction(path, model(), force=True))
    return refusals, load_direction(path, model())


def _tried(work: Callable[[], object]) -> str:
    """Several readers of one file: the refusal of one does not keep it from the next."""
    try:
        work()
    except ValueError as error:
        if type(error).__name__ != "AsyrpError":
            raise
        return str(error)
    return ""


# latents


def latent_files(rng: random.Random) -> Files:
    """Latent files."""
    header = {"format": "asyrp-latents", "version": "1", "names": '["a.png", "b.png"]'}
    header |= {"steps": "40", "fingerprint": "0" * 64, "errors": "[0.001, 0.002]"}
    return {"a.safetensors": tensors.changed({"x": noise(2, 3, 16, 16)}, header, rng)}


def read_latents(path: Path) -> object:
    """As `inspect` reads them."""
    _tried(lambda: header_of(path))
    found = load_latents(path)
    return sum(found.errors) / len(found.errors), [name.encode() for name in found.names]


def stores(rng: random.Random) -> Files:
    """A store with a spoilt shard, or a spoilt marker."""
    records = {key_of(i): {"x": noise(3, 16, 16, seed=i)} for i in range(2)}
    held = {f"{key}.x": record["x"] for key, record in records.items()}
    marker: Any = {"format": "asyrp-store", "version": 1}
    if rng.random() < 0.15:
        marker = json_mutated(marker, rng)
    changed = tensors.other_tensors(held, rng) if rng.random() < 0.3 else held
    told = {key: digest(record) for key, record in records.items()}
    if changed is not held and rng.random() < 0.8:  # a liar who knows how digests are made
        told = {k.partition(".")[0]: digest({k.partition(".")[2]: v}) for k, v in changed.items()
                if isinstance(v, Tensor)}  # fmt: skip
    header = {"format": "asyrp-store", "version": "1", "records": json.dumps(told)}
    shard = tensors.save_raw(changed, header, rng) if changed is not held else None
    shard = shard or tensors.changed(held, header, rng)
    return {MARKER: json_bytes(marker, rng), "0.safetensors": shard}


def read_store(path: Path) -> object:
    """Every record, as training reads it."""
    store = RecordStore(path.parent)
    return [latents_from(store, [key]) for key in list(store.keys())]


# checkpoints of other people


@functools.cache
def _networks() -> tuple[Mapping[str, Tensor], ...]:
    """Of both families, as small as their normalisation allows, and an f_t of each layout."""
    f_t = {layout: random_f_t(model(), layout).state_dict() for layout in ("ddpm", "adm")}
    from asyrp.networks.released_directions import NAMES

    originals = []
    for layout, names in NAMES.items():
        back = {new: old for old, new in names.items()}
        parts = ((key.rpartition("."), value) for key, value in f_t[layout].items())
        originals.append({f"{back[m]}.{leaf}": value for (m, _, leaf), value in parts})
    return (ddpm_weights(Ddpm()), adm_weights(Adm()), *originals)


def zip_checkpoints(rng: random.Random) -> Files:
    """Today's torch checkpoints of networks and directions."""
    return {"a.pt": pickled.changed(rng.choice(_networks()), False, rng)}


def legacy_checkpoints(rng: random.Random) -> Files:
    """Those of torch before 1.6."""
    return {"a.pth": pickled.changed(rng.choice(_networks()), True, rng)}


def safe_checkpoints(rng: random.Random) -> Files:
    """The same as safetensors."""
    return {"a.safetensors": tensors.changed(rng.choice(_networks()), {"format": "pt"}, rng)}


def read_network(path: Path) -> object:
    """As `asyrp convert` and --model read a checkpoint."""
    found = detect(read_checkpoint(path), repr(str(path)))
    if found.kind.endswith("direction"):
        return convert_direction(found, path.name, read_known({}))
    return convert(found, Hyperparameters(heads=1, timesteps=1000))


@functools.cache
def _smiling() -> bytes:
    (path,) = RELEASED.glob("smiling*.pth")
    return path.read_bytes()


def released(rng: random.Random) -> Files:
    """The direction that was published, and others of its layout."""
    name = "smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth"
    if rng.random() < 0.4:
        return {name: damaged(_smiling(), rng)}
    if rng.random() < 0.5:
        return {name: pickled.rezipped(_smiling(), rng)}
    weights = rng.choice(_networks()[2:])
    return {name: pickled.changed(weights, rng.random() < 0.3, rng)}


# folders of diffusers


@functools.cache
def _folder() -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    unet = tiny_unet()
    config = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    return unet.state_dict(), {
        "_class_name": "UNet2DModel",
        "_diffusers_version": "0.35.0",
        **config,
    }


SCHEDULER = {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_start": 1e-4,
             "beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "epsilon",
             "trained_betas": None, "rescale_betas_zero_snr": False}  # fmt: skip


def folders(rng: random.Random) -> Files:
    """A network: config.json, weights, scheduler, conversion.json."""
    held, config = _folder()
    scheduler: Any = dict(SCHEDULER)
    whole = {k: v.contiguous() for k, v in held.items()}
    weights = save(whole, {"format": "pt"})
    which = rng.random()
    more: Files = {}
    if which < 0.5:
        config = json_mutated(config, rng)
    elif which < 0.7:
        scheduler = json_mutated(scheduler, rng)
    elif which < 0.95:
        weights = tensors.changed(whole, {"format": "pt"}, rng)
    else:
        more = {"conversion.json": json_bytes(json_mutated(RECORD, rng), rng)}
    files = {
        "config.json": json_bytes(config, rng),
        "scheduler_config.json": json_bytes(scheduler, rng),
    }
    name = "diffusion_pytorch_model"
    if which > 0.97:
        more = {f"{name}.bin": pickled.changed(whole, rng.random() < 0.5, rng)}
        return {**files, **more}
    return {**files, f"{name}.safetensors": weights, **more}


RECORD = {"family": "ddpm", "hyper_parameters": {
    "image_size": 16, "heads": 1, "head_channels": None, "heads_up": None, "new_order": False,
    "timesteps": 1000, "schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
    "rescale": False, "prediction": "epsilon"}}  # fmt: skip


def read_folder(path: Path) -> object:
    """As --model and `convert --back` read a folder."""
    _tried(lambda: convert_back(path.parent))
    found = load_model(str(path.parent))
    return found.h_shape, found.fingerprint()


@functools.cache
def _pipeline() -> tuple[Files, Mapping[str, Any]]:
    """Weights by place, and configs by place."""
    parts = {"unet": tiny_latent_unet(), "vqvae": tiny_vq(scaling_factor=1.0)}
    weights, configs = {}, {}
    for name, part in parts.items():
        held = {k: v.contiguous() for k, v in part.state_dict().items()}
        weights[f"{name}/diffusion_pytorch_model.safetensors"] = save(held, {"format": "pt"})
        kept = {k: v for k, v in part.config.items() if not k.startswith("_")}
        configs[f"{name}/config.json"] = {"_class_name": type(part).__name__, **kept}
    configs["scheduler/scheduler_config.json"] = dict(latent_scheduler().config)
    configs["model_index.json"] = {"_class_name": "LDMPipeline"}
    return weights, configs


def pipelines(rng: random.Random) -> Files:
    """A pipeline of latent diffusion with one spoilt part."""
    weights, configs = _pipeline()
    files = {place: json.dumps(config).encode() for place, config in configs.items()}
    files |= weights
    place = rng.choice([*configs, *configs, *weights])
    if place in configs:
        files[place] = json_bytes(json_mutated(configs[place], rng), rng)
    else:
        files[place] = damaged(files[place], rng)
    return {"model_index.json": files.pop("model_index.json"), **files}


def read_pipeline(path: Path) -> object:
    """As --model reads it."""
    return load_model(str(path.parent)).image_shape


# pictures, records of runs, the state of a training


def images_of(format: str) -> Callable[[random.Random], Files]:
    """Pictures of a format."""
    return lambda rng: {f"a.{format.lower()}": pictures.changed(format, rng)}


def read_picture(path: Path) -> object:
    """As the commands and the app read one."""
    _tried(lambda: read_upload(str(path), path.parent, (16, 16), Limits()))
    return read_image(path, (16, 16))


RUN = {
    "command": "edit", "options": {"images": "faces", "direction": ["a:1.5"], "steps": 40,
    "network": {"model": "avatars-64", "batch_size": 4}}, "t_boost": 200, "cosine": 0.9,
    "network": {"fingerprint": "0" * 64, "prediction": "epsilon"}, "num_heads": 4,
    "versions": {"torch": "2.13"}, "reconstruction_mse": {"a.png": 0.001}, "channel_mult": "1,2,2",
    "image_size": 64, "learn_sigma": True, "attention_resolutions": [16, 8], "t_edit": 500,
    "source": "face", "directions": [{"source": "face", "strength": 1.0}],
}  # fmt: skip


def runs(rng: random.Random) -> Files:
    """run.json, and JSON that names hyper-parameters."""
    return {"run.json": json_bytes(json_mutated({**RUN, **SCHEDULER}, rng), rng)}


def read_run(path: Path) -> object:
    """By every reader of JSON that takes files of others."""
    found = read_json(path)
    parts = (read_hyperparameters, read_known, from_config)
    refusals = [_tried(lambda part=part: part(found)) for part in parts]  # type: ignore[misc]
    if any(refusals):
        raise AsyrpError("; ".join(refusals))
    return found


TRAINING = {
    "batch": "3",
    "steps": "0",
    "lowest": "[0.5]",
    "best": "[2]",
    "stale": "[1]",
    "run": "[1]",
    "images": "[[0.5], [0.25]]",
}


def states(rng: random.Random) -> Files:
    """The checkpoint of a training."""
    f_t = random_f_t(model())
    held = {f"direction.{k}": v for k, v in f_t.state_dict().items()}
    for i, p in enumerate(f_t.parameters()):
        held |= {f"optimiser.{i}.{name}": torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
        held[f"optimiser.{i}.step"] = torch.tensor(3.0)
    return {"a.checkpoint.safetensors": tensors.changed(held, TRAINING, rng)}


def read_training(path: Path) -> object:
    """As the run goes on that wrote it."""
    f_t = random_f_t(model())
    identity = {name: TRAINING[name] for name in ("run", "images")}
    optimiser = torch.optim.Adam(f_t.parameters())
    return TrainingCheckpoint(
        path, {"direction": f_t}, optimiser, identity, steps=3, goals=1
    ).read()


KINDS = (
    Kind("direction", direction_files, read_direction),
    Kind("latent file", latent_files, read_latents),
    Kind("latent store", stores, read_store),
    Kind("checkpoint, zip", zip_checkpoints, read_network),
    Kind("checkpoint, legacy pickle", legacy_checkpoints, read_network),
    Kind("checkpoint, safetensors", safe_checkpoints, read_network),
    Kind("released direction .pth", released, read_network),
    Kind("diffusers folder", folders, read_folder),
    Kind("latent diffusion folder", pipelines, read_pipeline),
    Kind("PNG", images_of("PNG"), read_picture),
    Kind("JPEG", images_of("JPEG"), read_picture),
    Kind("WebP", images_of("WEBP"), read_picture),
    Kind("GIF", images_of("GIF"), read_picture),
    Kind("TIFF", images_of("TIFF"), read_picture),
    Kind("run.json and settings", runs, read_run),
    Kind("training checkpoint", states, read_training),
)
