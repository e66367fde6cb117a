"""Count what the paper's networks cost: multiplications of their shapes, no weights needed.

    python docs/figures/paper_cost.py

prints the table of docs/paper_networks.md. Seconds follow from a rate that is assumed.
"""

from typing import Any, NamedTuple

import torch
from diffusers import UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from asyrp.schedule import linear, paper_grid
from asyrp.unet import HSpaceUNet

RATE = 10e12  # FLOP/s that a desktop card is assumed to keep up in float32
STEPS, T_EDIT, REFINEMENTS = 40, 513, 1
PICTURES = 100  # that a direction is trained on, as in the official scripts


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
NETWORKS = {
    "DDPM++ (CelebA-HQ, LSUN)": plain(
        (4,), block_out_channels=WIDTHS, layers_per_block=2, attention_head_dim=None
    ),
    "ADM 94M (AFHQ, FFHQ, MetFaces, P2)": plain(
        (4,), block_out_channels=WIDTHS, layers_per_block=1, **ADM
    ),
    "ADM 553M (ImageNet)": plain(
        (3, 4, 5), block_out_channels=tuple(2 * w for w in WIDTHS), layers_per_block=2, **ADM
    ),
}


class Cost(NamedTuple):
    """Parameters, and FLOP of one picture through either half."""

    parameters: int
    encoder: float
    decoder: float


@torch.no_grad()
def cost_of(config: dict[str, Any]) -> Cost:
    """Count a network on the meta device, where nothing is computed."""
    with torch.device("meta"):
        unet = UNet2DModel(**config)
        model = HSpaceUNet(unet, linear())
        x, t = torch.zeros(1, 3, 256, 256), torch.zeros(1, dtype=torch.long)
        with FlopCounterMode(display=False) as ahead:
            encoded = model.encode(x, t)
        with FlopCounterMode(display=False) as behind:
            model.decode_raw(encoded)
    count = sum(p.numel() for p in unet.parameters())
    return Cost(count, ahead.get_total_flops(), behind.get_total_flops())


def rows() -> list[str]:
    """The table's lines, in Markdown."""
    edited = sum(pair.t >= T_EDIT for pair in paper_grid(STEPS))
    lines = []
    for name, config in NETWORKS.items():
        size, encoder, decoder = cost_of(config)
        whole = encoder + decoder
        invert = (STEPS - 1) * (1 + REFINEMENTS) * whole + STEPS * whole
        edit = STEPS * whole + edited * decoder
        unedited = edited * whole
        train = edited * (encoder + 3 * decoder)  # two decoders forward, one backward
        learn = PICTURES * (invert + unedited + train)
        lines.append(
            f"| {name} | {size / 1e6:.0f} M | {4 * size / 1e9:.1f} GB | {whole / 1e12:.2f} TFLOP | "
            f"{invert / RATE:.0f} s | {edit / RATE:.0f} s | {learn / RATE / 60:.0f} min |"
        )
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
