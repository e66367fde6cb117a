"""Networks in diffusers folders on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.networks.config_sizes import (
    check_config,
    check_sample_size,
    check_values,
    count_pickled,
    count_safe,
)
from asyrp.networks.convert.adm import split
from asyrp.networks.convert.read import read_checkpoint
from asyrp.networks.original_unet import OriginalUNet2DModel
from asyrp.storage.files import read_object
from asyrp.storage.untrusted.tensors import load_safetensors

SAFE = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is no file.

    Raises:
        AsyrpError: a file that is no JSON object.
    """
    return read_object(path) if path.is_file() else {}


def open_unet(root: Path) -> UNet2DModel:
    """The network of a folder with config.json and weights, every tensor accounted for.

    Raises:
        AsyrpError: no UNet2DModel, or weights that do not fit the config.
    """
    config = read_json(root / "config.json")
    check_config(config, root)
    check_sample_size(config, root)
    try:
        if config.get("attention_legacy_order"):
            return _of_the_fork(root, config)
        return _of_diffusers(root, config)
    except AsyrpError:
        raise
    except Exception as error:  # a damaged or unsafe file fails in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise AsyrpError(f"{str(root)!r} does not load as a UNet2DModel: {reason}") from error


def _of_diffusers(root: Path, config: Mapping[str, Any]) -> UNet2DModel:
    kind = UNet2DModel
    if isinstance(config.get("attention_head_dim"), list) and "time_scale" in config:
        kind = OriginalUNet2DModel
    pickled = not any(root.glob("diffusion_pytorch_model*.safetensors"))
    if pickled and (root / PICKLED).is_file():
        stored = count_pickled(read_checkpoint(root / PICKLED))  # refuses what is unsafe
    else:
        stored = count_safe(root)
    check_values(lambda: kind.from_config(dict(config)), stored, root)
    unet, report = kind.from_pretrained(
        str(root),
        use_safetensors=not pickled,
        low_cpu_mem_usage=False,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    wrong = [*report["missing_keys"], *report["unexpected_keys"]]
    if wrong:
        raise AsyrpError(
            f"the weights in {str(root)!r} are not those of its config.json: {len(wrong)} keys are "
            f"missing or too many, as {wrong[0]!r}; get the folder from its source again"
        )
    return unet


def _of_the_fork(root: Path, config: Mapping[str, Any]) -> UNet2DModel:
    """ADM as converted for a fork of diffusers (pull request 6730): q, k, v still in ADM's order.

    Its to_q, to_k and to_v are the thirds of ADM's matrix, whose rows are (head, [q, k, v], d).
    """
    file = root / SAFE if (root / SAFE).is_file() else root / PICKLED
    state: dict[str, Tensor] = (
        load_safetensors(file) if file.name == SAFE else read_checkpoint(file)
    )
    plain = {k: v for k, v in config.items() if k not in ("attention_legacy_order", "_class_name")}
    if plain.get("time_embedding_type") == "adm":
        plain |= {"time_embedding_type": "positional", "flip_sin_to_cos": True, "freq_shift": 0}
    if "mid_block.attentions.0.group_norm.weight" in state:
        plain["attn_norm_num_groups"] = plain.get("attn_norm_num_groups") or 32
    check_values(lambda: UNet2DModel.from_config(plain), count_pickled(state), root)
    unet = UNet2DModel.from_config(plain)
    heads = {name: layer.heads for name, layer in unet.named_modules() if hasattr(layer, "to_q")}
    for layer, count in heads.items():
        for kind in ("weight", "bias"):
            keys = [f"{layer}.to_{name}.{kind}" for name in "qkv"]
            parts = split(torch.cat([state[key] for key in keys]), count, new_order=False)
            state |= dict(zip(keys, parts, strict=True))
    unet.load_state_dict(state, strict=True)
    return unet
