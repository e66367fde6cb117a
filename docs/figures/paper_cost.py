"""Count what networks cost: multiplications of their shapes, no weights needed.

    python docs/figures/paper_cost.py

prints the two tables of docs/measured_advice.md. Seconds follow from a rate that is assumed; memory
is the largest sum of tensors alive at once, on torch's meta device.
"""

import json
import weakref
from importlib.resources import files
from inspect import signature
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from asyrp.finders.prepare import MOST_CURVE_IMAGES
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear, paper_grid
from asyrp.method.text_conditioning import FixedPrompt

RATE = 10e12  # FLOP/s that a desktop card is assumed to keep up in float32
STEPS, T_EDIT, REFINEMENTS = 40, 513, 1
PICTURES = 100  # that a direction is trained on, as in the official scripts
FINE = 1000  # steps of a fine edit
BATCH, TRAIN_BATCH = 4, 2
APART = 1e9  # bytes for CUDA itself, assumed


def built_in(domain: str) -> dict[str, Any]:
    """The config of a network in the package."""
    name = f"{domain}-64"
    place = files(f"asyrp.domains.{domain}") / "weights" / name / "unet" / "config.json"
    return dict(json.loads(place.read_text()))


def plain(attends: tuple[int, ...], **rest: Any) -> dict[str, Any]:
    """The arguments of a 256-pixel network of six levels."""
    down, up = rest.pop("blocks", ("DownBlock2D", "UpBlock2D"))
    return {
        "sample_size": 256,
        "down_block_types": ["AttnDownBlock2D" if i in attends else down for i in range(6)],
        "up_block_types": ["AttnUpBlock2D" if 5 - i in attends else up for i in range(6)],
        **rest,
    }


ADM = {
    "blocks": ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": 64,
    "out_channels": 6,
}
WIDTHS = (128, 128, 256, 256, 512, 512)
LDM = {  # CompVis/ldm-celebahq-256
    "sample_size": 64,
    "block_out_channels": (224, 448, 672, 896),
    "down_block_types": ("DownBlock2D", *("AttnDownBlock2D",) * 3),
    "up_block_types": (*("AttnUpBlock2D",) * 3, "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": 32,
}
PROMPTED = {"sample_size": 64, "cross_attention_dim": 768}  # the rest is the class's default
PAPER = "DDPM++ (CelebA-HQ, LSUN)"
NETWORKS = {
    "avatars-64": built_in("avatars"),
    "photographs-64": built_in("photographs"),
    PAPER: plain((4,), block_out_channels=WIDTHS, layers_per_block=2, attention_head_dim=None),
    "ADM 94M (AFHQ, FFHQ, MetFaces, P2)": plain(
        (4,), block_out_channels=WIDTHS, layers_per_block=1, **ADM
    ),
    "ADM 553M (ImageNet)": plain(
        (3, 4, 5), block_out_channels=tuple(2 * w for w in WIDTHS), layers_per_block=2, **ADM
    ),
    "latent diffusion, CelebA-HQ 256": LDM,
    "Stable Diffusion 1.x, 512": PROMPTED,
}


class Peak(TorchDispatchMode):
    """The largest number of bytes that results took at once; what is `known` is not counted."""

    def __init__(self, known: set[int]):
        super().__init__()
        self.alive, self.now, self.most = set(known), 0, 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.alive:
            return
        self.alive.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.alive.discard(key)
        self.now -= size


class Cost(NamedTuple):
    """Of one picture: FLOP of either half, bytes beside the weights while walking and training."""

    parameters: int
    encoder: float
    decoder: float
    walked: float
    trained: float

    @property
    def weights(self) -> float:
        """Bytes in float32."""
        return 4 * self.parameters

    def invert(self, steps: int = STEPS) -> float:
        """FLOP of an inversion and the reconstruction that checks it."""
        return ((steps - 1) * (1 + REFINEMENTS) + steps) * (self.encoder + self.decoder)

    def edit(self, steps: int = STEPS) -> float:
        """FLOP of an edited walk."""
        return steps * (self.encoder + self.decoder) + edited(steps) * self.decoder

    def learn(self) -> float:
        """FLOP of training on a picture: its inversion, its unedited walk, and the steps.

        A step has an encoder, two decoders forward and one backward.
        """
        reverse_process = edited(STEPS) * (self.encoder + self.decoder)
        return self.invert() + reverse_process + edited(STEPS) * (self.encoder + 3 * self.decoder)


def edited(steps: int) -> int:
    """Timesteps of the editing interval."""
    return sum(pair.t >= T_EDIT for pair in paper_grid(steps))


def cost_of(config: dict[str, Any]) -> Cost:
    """Count a network on the meta device, where nothing is computed; autoencoders are left out."""
    with torch.device("meta"):
        unet = network_of(config)
        model = HSpaceUNet(unet, linear())
        x, t = torch.zeros(1, *model.image_shape), torch.zeros(1, dtype=torch.long)
        with torch.no_grad(), FlopCounterMode(display=False) as ahead:
            encoded = model.encode(x, t)
        with torch.no_grad(), FlopCounterMode(display=False) as behind:
            model.decode_raw(encoded)
        memory = [peak_of(model, x, t, grad) for grad in (False, True)]
    count = sum(p.numel() for p in unet.parameters())
    return Cost(count, ahead.get_total_flops(), behind.get_total_flops(), *memory)


def network_of(config: dict[str, Any]) -> Any:
    """A network of random weights; with a prompt of 77 tokens where it takes one."""
    if "cross_attention_dim" not in config:
        known = signature(UNet2DModel).parameters  # older versions have no mid_block_type
        return UNet2DModel(**{k: v for k, v in config.items() if k in known})
    context = torch.zeros(1, 77, config["cross_attention_dim"])
    return FixedPrompt(UNet2DConditionModel(**config), context)


def peak_of(model: HSpaceUNet, x: torch.Tensor, t: torch.Tensor, grad: bool) -> float:
    """Bytes of an edited step of one picture, with its backward pass where grad is wanted."""
    known = {p.untyped_storage()._cdata for p in model.unet.parameters()}
    with Peak(known) as peak:
        with torch.no_grad():
            encoded = model.encode(x, t)
            model.decode_raw(encoded)
        shift = torch.zeros_like(encoded.h, requires_grad=grad)
        with torch.set_grad_enabled(grad):
            eps = model.decode_raw(encoded, encoded.h + shift)
        if grad:
            eps.sum().backward()
    return peak.most


def rows() -> list[str]:
    """The lines of the table of networks, in Markdown."""
    return [_row(name, cost_of(config)) for name, config in NETWORKS.items()]


def _row(name: str, cost: Cost) -> str:
    whole = cost.encoder + cost.decoder
    return (
        f"| {name}, {cost.parameters / 1e6:.0f} M | {cost.weights / 1e9:.2g} GB | "
        f"{cost.walked / 1e9:.2g} GB | {cost.trained / 1e9:.2g} GB | {whole / 1e12:.2g} | "
        f"{cost.invert() / RATE:.2g} s | {cost.edit() / RATE:.2g} s | "
        f"{PICTURES * cost.learn() / RATE / 60:.2g} min |"
    )


def command_rows() -> list[str]:
    """The lines of the table of commands: time and memory on the paper's network."""
    cost = cost_of(NETWORKS[PAPER])
    whole = cost.encoder + cost.decoder
    step = APART + cost.weights + BATCH * cost.walked
    kept = PICTURES * edited(STEPS) * 4 * 3 * 256**2  # the unedited walk
    learning = APART + cost.weights + TRAIN_BATCH * cost.trained + kept
    work = {
        f"`invert`, {PICTURES} images": (PICTURES * cost.invert(), step),
        f"`intervals`, {MOST_CURVE_IMAGES} images": (
            MOST_CURVE_IMAGES * (cost.invert() + STEPS * whole),
            step,
        ),
        f"`train`, {PICTURES} images": (PICTURES * cost.learn(), learning),
        f"`edit`, {PICTURES} images": (PICTURES * (cost.invert() + cost.edit()), step),
        "`edit --steps 1000`, 1 image": (cost.invert(FINE) + cost.edit(FINE), step),
    }
    return [
        f"| {name} | {flop / RATE / 60:.0f} min | {memory / 1e9:.0f} GB |"
        for name, (flop, memory) in work.items()
    ]


if __name__ == "__main__":
    print("\n".join([*rows(), "", *command_rows()]))
