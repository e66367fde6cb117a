"""The trained directions that ship with the built-in domains, by name."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import DirectionCard, SavedDirection, load_direction, read_card
from asyrp.method.editing import edit, latents_of, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength_sweep import strip

DOMAINS = Path(__file__).parent
FACTORS = (0.5, 1.0, 1.5)  # of a card's strength
STEPS, SEED = 40, 5


def shipped_directions() -> Iterator[tuple[Path, DirectionCard]]:
    """Every direction file of every built-in domain, by path, and its card."""
    for path in sorted(DOMAINS.glob("*/directions/*.safetensors")):
        yield path, read_card(path)


def shipped_for(fingerprint: str) -> dict[str, Path]:
    """Name -> file of the directions that were found on a network."""
    return {
        path.stem: path for path, card in shipped_directions() if card.fingerprint == fingerprint
    }


def direction_file(path: Path, model: HSpaceUNet) -> Path:
    """The file itself, or the shipped direction of that name for this network.

    Raises:
        AsyrpError: there is no such file, and no direction of that name.
    """
    if path.suffix or path.exists() or len(path.parts) > 1:
        return path
    found = shipped_for(model.fingerprint())
    if path.name not in found:
        names = ", ".join(found) or "none"
        raise AsyrpError(
            f"no direction {path.name!r}: needed a FILE, or the name of one that ships for this "
            f"network ({names}); asyrp directions lists them"
        )
    return found[path.name]


def load_named(path: Path, model: HSpaceUNet, force: bool = False) -> SavedDirection:
    """`load_direction` of a file, or of a shipped direction by name."""
    return load_direction(direction_file(path, model), model, force)


@torch.no_grad()
def strips(model: HSpaceUNet, names: Iterable[str], samples: int) -> Iterator[tuple[str, Tensor]]:
    """Samples of the network, unedited and edited at FACTORS of each card's strength.

    Returns:
        The name of each direction, and (1 + FACTORS, samples, 3, height, width) in [-1, 1].
    """
    noise = random_latents(model, samples, SEED)
    drawn = edit(model, noise, steps=STEPS, t_boost=model.t_top).clamp(-1, 1)
    latents = latents_of(model, drawn, STEPS)
    for name in names:
        saved = load_named(Path(name), model)
        edits = [[saved.attribute(saved.card.strength * factor)] for factor in FACTORS]
        edited = strip(model, latents, edits, STEPS)
        yield name, torch.cat([drawn[None], edited]).float().clamp(-1, 1)
