"""Networks in diffusers folders on this machine."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import UNet2DModel
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import LatentSpace, Space
from asyrp.networks.convert.adm import split
from asyrp.networks.original_unet import OriginalUNet2DModel
from asyrp.networks.scheduler_config import CLASSES, Noise
from asyrp.networks.weights import fitting, read_weights
from asyrp.runtime.fast_blocks import use_fast_blocks
from asyrp.runtime.precision import REDUCED, precision_of, round_products
from asyrp.settings import Precision
from asyrp.storage.config_fields import defaults_of, name_passed_over, refuse_others, said
from asyrp.storage.files import read_object
from asyrp.storage.untrusted.configs import check_config, check_sample_size, check_values
from asyrp.storage.weight_files import name_others

ONLY = {"quantization_config": None}
WHY = {"quantization_config": "means weights in another form; needed: the folder before quantising"}
# what diffusers before 0.32 builds without such a field
ALWAYS = {"mid_block_type": "UNetMidBlock2D"}
# What of model_index.json is read here, or changes no picture that is made here.
INDEX = {"unet", "vae", "vqvae", "scheduler", "direction", "force_zeros_for_empty_prompt"}
INDEX |= {"text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"}
INDEX |= {"safety_checker", "requires_safety_checker", "feature_extractor"}
ONLY_INDEX = {"requires_aesthetics_score": False}
WHY_INDEX = {
    "requires_aesthetics_score": "means a network that is told how beautiful pictures are, as the "
    "refiner of Stable Diffusion XL is; needed: the base network"
}
# what an average over training keeps beside its network (diffusers' EMAModel)
AVERAGE = {"decay", "inv_gamma", "min_decay", "optimization_step", "power"}
AVERAGE |= {"update_after_step", "use_ema_warmup"}


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is no file."""
    return read_object(path) if path.is_file() else {}


def check_index(folder: Path) -> None:
    """Refuse a pipeline whose network is told more than here, by its model_index.json."""
    index = read_json(folder / "model_index.json")
    refuse_others(index, ONLY_INDEX, WHY_INDEX)
    rest = {
        name: "/".join(map(str, value)) if isinstance(value, list) else value
        for name, value in said(index).items()
        if name not in INDEX | ONLY_INDEX.keys() and value not in (False, [None, None])
    }
    where = str(folder / "model_index.json")
    name_passed_over(rest, where, "nothing here takes such a part of a pipeline")


def unet_folder(folder: Path) -> Path:
    """Where the network of a pipeline's folder lies: its average where training left one."""
    places = [folder / name for name in ("unet_ema", "unet")] + [folder]
    root = next((place for place in places if (place / "config.json").is_file()), None)
    if root is None:
        raise AsyrpError(
            f"{str(folder)!r} is not a diffusers folder: it has neither config.json nor unet/"
        )
    if root.name == "unet_ema" and root != folder and (folder / "unet").is_dir():
        warnings.warn(
            f"{str(root)!r} is taken, the average over the training; name {str(folder / 'unet')!r} "
            "for the weights of its last step",
            stacklevel=3,
        )
    if root != folder:
        name_others(folder, [root.name], repr(root.name))
    return root


def scheduler_in(folder: Path) -> Mapping[str, Any]:
    """The config of a pipeline's scheduler, which model_index.json may say is of another kind."""
    places = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    found = next((content for place in places if (content := read_json(place))), {})
    match read_json(folder / "model_index.json").get("scheduler"):
        case ["diffusers", str(name)] if found and name not in CLASSES:
            return {**found, "_class_name": name}
    return found


def open_unet(root: Path) -> UNet2DModel:
    """The network of a folder; AsyrpError where it is no UNet2DModel, or its weights do not fit."""
    config = read_json(root / "config.json")
    if config.get("attention_legacy_order"):
        with refusing(root, "UNet2DModel"):
            return _of_the_fork(root, config)
    name = config.get("_class_name", "UNet2DModel")
    if name not in ("UNet2DModel", "OriginalUNet2DModel"):
        part = "; give the folder of its whole pipeline, with vae/, text_encoder/ and tokenizer/"
        more = part if name == "UNet2DConditionModel" else ""
        raise AsyrpError(f"needed a UNet2DModel in {str(root)!r}; it holds a {name!s:.80}{more}")
    original = isinstance(config.get("attention_head_dim"), list) and "time_scale" in config
    return open_part(root, config, OriginalUNet2DModel if original else UNet2DModel)


def open_part(root: Path, config: Mapping[str, Any], kind: Any) -> Any:
    """A part of a pipeline, of a class of diffusers, with every field and tensor accounted for.

    Raises:
        AsyrpError: a config that no network has, or weights that do not fit it.
    """
    refuse_others(config, ONLY, WHY)
    known = {k: v for k, v in config.items() if k in defaults_of(kind) or k.startswith("_")}
    check_config(known, root)
    if "UNet" in kind.__name__:
        check_sample_size(known, root)
    rest = said({k: v for k, v in config.items() if k not in known and k not in AVERAGE})
    rest = {k: v for k, v in rest.items() if ALWAYS.get(k) != v}
    version = f"{kind.__name__} of diffusers {diffusers.__version__} has no such fields"
    name_passed_over(rest, str(root / "config.json"), version)
    with refusing(root, kind.__name__):
        return _filled(root, lambda: kind.from_config(known), read_weights(root))


def _filled(root: Path, build: Callable[[], Any], weights: Mapping[str, Tensor]) -> Any:
    """The network, built only where its weights are as large as its config says."""
    check_values(build, sum(value.numel() for value in weights.values()), root)
    net = build()
    net.load_state_dict(fitting(net, weights, root))
    return net.eval()


@contextmanager
def refusing(root: Path, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong with a damaged or unsafe file into one line."""
    try:
        yield
    except AsyrpError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise AsyrpError(f"{str(root)!r} does not load as a {kind}: {reason}") from error


def _of_the_fork(root: Path, config: Mapping[str, Any]) -> UNet2DModel:
    """ADM as converted for a fork of diffusers (pull request 6730): q, k, v still in ADM's order.

    Its to_q, to_k and to_v are the thirds of ADM's matrix, whose rows are (head, [q, k, v], d).
    """
    check_config(config, root)
    check_sample_size(config, root)
    state = read_weights(root)
    plain = {k: v for k, v in config.items() if k not in ("attention_legacy_order", "_class_name")}
    if plain.get("time_embedding_type") == "adm":
        plain |= {"time_embedding_type": "positional", "flip_sin_to_cos": True, "freq_shift": 0}
    if "mid_block.attentions.0.group_norm.weight" in state:
        plain["attn_norm_num_groups"] = plain.get("attn_norm_num_groups") or 32
    unet: Any = _filled(root, lambda: UNet2DModel.from_config(plain), state)
    with torch.no_grad():
        for layer in (one for one in unet.modules() if hasattr(one, "to_q")):
            for kind in ("weight", "bias"):
                thirds = [getattr(one, kind) for one in (layer.to_q, layer.to_k, layer.to_v)]
                parts = split(torch.cat(thirds), layer.heads, new_order=False)
                for third, part in zip(thirds, parts, strict=True):
                    third.copy_(part)
    return unet


def wrapped(
    unet: Any,
    noise: Noise,
    device: str | torch.device,
    dtype: Precision,
    space: Space | None = None,
    class_label: int | None = None,
) -> HSpaceUNet:
    """A network ready to edit with, whose fingerprint is that of its weights in float32."""
    products, place = precision_of(dtype, device), torch.device(device)
    model = HSpaceUNet(unet, *noise, space=space, class_label=class_label)
    if products in REDUCED:
        origin = model.fingerprint()
        model = HSpaceUNet(unet, *noise, origin=origin, space=space, class_label=class_label)
        round_products(model.unet, products)
        if isinstance(space, LatentSpace) and not (products == torch.float16 and space.overflows):
            round_products(space, products)
    if place.type == "cpu" or products in REDUCED:  # what convolutions are fastest in
        cast(Any, model).to(memory_format=torch.channels_last)
    if place.type == "cpu":
        use_fast_blocks(model)
    return model.to(place)
