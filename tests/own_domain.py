"""A small domain of the user's own: a network of random weights, pictures, and a TOML file."""

from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel

from asyrp.storage.images import write_png
from conftest import noise
from tiny_folders import save_clip

SIDE, LENGTH = 24, 48  # what the built-in distance needs is 21; what a demo needs is 40
FILE = """
name = "own"

[model]
name = "network"

[guides]
encoder = "avatars-64-clip"
distance = "st-lpips-alex"

[images]
train = "train"
test = "test"

[judge]
encoder = "clip"

[judge.questions]
mouth = ["sad face", "smiling face"]
hair = ["bald person", "person with blonde hair"]

[[tasks]]
name = "sad"
source = "face"
target = "sad face"
attribute = "mouth"
value = "sad face"
t_start = 40
t_edit = 20
t_boost = 5
"""


def write_own(root: Path, text: str = FILE, train: int = 8, test: int = 24) -> Path:
    """Everything that the file names, and the file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        unet = UNet2DModel(
            sample_size=SIDE,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
    unet.save_pretrained(root / "network" / "unet")
    DDPMScheduler(LENGTH).save_pretrained(root / "network" / "scheduler")
    save_clip(root / "clip")
    for place, (name, count) in enumerate((("train", train), ("test", test))):
        (root / name).mkdir()
        for index in range(count):
            image = 0.5 * noise(3, SIDE, SIDE, seed=100 * place + index).clamp(-1, 1)
            write_png(root / name / f"{index:02d}.png", image)
    path = root / "own.toml"
    path.write_text(text)
    return path
