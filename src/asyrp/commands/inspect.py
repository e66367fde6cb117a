"""asyrp inspect."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyrp.commands.common import fact
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import read_card
from asyrp.method.latent_file import KIND, load_latents
from asyrp.networks import load_model
from asyrp.networks.convert.detect import is_original
from asyrp.networks.latent_pipeline import Prompt
from asyrp.options.editing import Inspect
from asyrp.storage.files import header_of


def run(options: Inspect) -> dict[str, Any]:
    """Print what a file or a network is, a fact a line; of a folder of directions a line each."""
    path = Path(options.what)
    own = path.is_file() and not is_original(path)
    if files := _directions_in(path):
        facts = {one.name: _line(one) for one in files}
    else:
        facts = _of_file(path) if own else _of_model(options)
    for name, value in facts.items():
        fact(name, value)
    return facts


def _directions_in(path: Path) -> list[Path]:
    """The files of a folder that holds directions rather than a network."""
    if not path.is_dir() or any(path.rglob("*config.json")):
        return []
    return sorted(path.glob("*.safetensors"))


def _line(path: Path) -> str:
    try:
        card = read_card(path)
    except AsyrpError as error:
        return f"no direction: {error}"
    start = "T" if card.t_start is None else card.t_start
    return f"{card.source} -> {card.target}, edits [{start}, {card.t_edit}]"


def _of_file(path: Path) -> dict[str, Any]:
    if header_of(path).get("format") != KIND.format:
        return asdict(read_card(path))
    latents = load_latents(path)
    shape = tuple(latents.x.shape)
    mean = sum(latents.errors) / len(latents.errors)
    return {
        "latents": f"{shape[0]} of shape {shape[1:]}",
        "steps": latents.steps,
        "inversion": latents.inversion,
        "fingerprint": latents.fingerprint,
        "mean error": f"{mean:.5f}",
    }


def _of_model(options: Inspect) -> dict[str, Any]:
    prompt = Prompt(options.prompt, options.guidance)
    model = load_model(options.what, prompt=prompt, class_label=options.class_label)
    bars = model.schedule.alpha_bars
    count = sum(p.numel() for p in model.parameters())
    return {
        "network": options.what,
        "parameters": f"{count:,}",
        "images": model.image_shape,
        "h": model.h_shape,
        "prediction": model.prediction,
        "timesteps": model.schedule.length,
        "alpha_bar": f"{bars[0]:.6f} at t = 0, {bars[-1]:.6f} at T",
        "fingerprint": model.fingerprint(),
    }
