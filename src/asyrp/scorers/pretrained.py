"""Networks of transformers, opened with one line for whatever goes wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asyrp.errors import AsyrpError, first_line, need
from asyrp.runtime.offline import hub, network_hint
from asyrp.scorers.preprocessing import View, prepare
from asyrp.storage.strict_loading import load_strictly
from asyrp.storage.untrusted.pretrained import check_pretrained
from asyrp.storage.untrusted.tensors import load_safetensors

SAME = 1e-3  # relative difference of what is the same on a GPU, whose sums have no order
Network = TypeVar("Network", bound=nn.Module)


class Frozen(nn.Module):
    """A network of transformers that looks at pictures, without gradients of its weights.

    Args:
        view: how it wants its pictures. name: what a report records.
    """

    def __init__(self, model: Any, view: View, name: str):
        super().__init__()
        self.model, self.view, self.name = model.requires_grad_(False), view, name
        self.eval()

    def pixels(self, images: Tensor) -> Tensor:
        """Pictures as it wants them, in the precision of its weights and where they are."""
        weight = next(self.parameters())
        return prepare(images.to(weight.device, torch.float32), self.view).to(weight.dtype)


@contextmanager
def opening(source: str | Path, needed: str, give: str) -> Iterator[bool]:
    """Whether the Hub's local cache has to do while a source is read.

    Args:
        needed: what the source should be. give: what to give in its place.

    Raises:
        MissingExtra, AsyrpError: without transformers; a source that is not there, or damaged.
    """
    need("transformers", "encoders")
    try:
        with hub() as local:
            yield local
    except AsyrpError:
        raise
    except Exception as error:  # a damaged or unsafe file fails in any way
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise AsyrpError(
            f"needed {needed}; {str(source)!r} does not load ({reason}); give {give}, and "
            f"{network_hint()}"
        ) from error


def pretrained(kind: Any, source: str | Path, local: bool, spare: tuple[str, ...] = ()) -> Any:
    """A network of a class of transformers, see `load_strictly`."""
    check_pretrained(kind, source, local)
    return load_strictly(kind, source, spare=spare, local_files_only=local)


@torch.no_grad()
def tried(see: Callable[[Tensor], Tensor], source: str | Path) -> None:
    """Raise AsyrpError, before the long work, where a network fails or answers anew each time.

    Args:
        see: pictures (1, 3, height, width) in [-1, 1] -> what is made of them.
    """
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    try:
        first, again = see(picture).float(), see(picture).float()
    except AsyrpError:
        raise
    except Exception as error:  # a network that takes other inputs fails in any way
        raise AsyrpError(
            f"needed a network of RGB pictures; {str(source)!r} fails on one: {first_line(error)}"
        ) from error
    if torch.dist(first, again) > SAME * first.norm():
        raise AsyrpError(
            f"{str(source)!r} makes another thing of the same picture each time: it draws random "
            "numbers, as masked autoencoders do (mask_ratio of their config.json, to be 0)"
        )


def with_weights(network: Network, path: Path, what: str, do: str) -> Network:
    """A small network of ours, frozen, in eval mode and float32; AsyrpError for other weights."""
    try:
        network.load_state_dict({k: v.float() for k, v in load_safetensors(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise AsyrpError(
            f"needed the weights of {what}; {str(path)!r} has others ({first_line(error)}); {do}"
        ) from error
    return network.eval().requires_grad_(False)
