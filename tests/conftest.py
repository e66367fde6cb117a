"""Tiny networks and what every test shares."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import UNet2DModel
from hypothesis import settings
from torch import Tensor

from asyrp.method.hspace import HSpaceUNet, Prediction
from asyrp.method.schedule import linear

if TYPE_CHECKING:
    from asyrp.app.pictures import Picture
    from asyrp.app.studio import Studio
    from places import Place

settings.register_profile("asyrp", deadline=None, database=None, derandomize=True)
settings.load_profile("asyrp")
torch.set_num_threads(1)

Maker = Callable[..., HSpaceUNet]

TINY: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "attention_head_dim": None,
    "norm_num_groups": 4,
}


PARTS = {"method": "maths", "finders": "training", "commands": "commands"}  # folder -> marker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder."""
    for item in items:
        if marker := PARTS.get(item.path.parent.name):
            item.add_marker(marker)


@pytest.fixture
def data() -> Path:
    """The folder of files that tests compare with."""
    return Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the places of a file's tests share."""
    from places import furnished

    return furnished(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def place(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Place":
    """What the commands of a test work on."""
    from places import place_in

    return place_in(shared, tmp_path, monkeypatch)


def tiny_unet(**changes: Any) -> UNet2DModel:
    """A U-Net of a few thousand random weights, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return UNet2DModel(**{**TINY, **changes})


def tiny_model(
    prediction: Prediction = "epsilon", dtype: torch.dtype = torch.float32, **changes: Any
) -> HSpaceUNet:
    """`tiny_unet` wrapped, on the linear schedule of 1000 timesteps."""
    return HSpaceUNet(tiny_unet(**changes).to(dtype), linear(), prediction)


@pytest.fixture(scope="session")
def model() -> HSpaceUNet:
    """One shared tiny network, float32."""
    return tiny_model()


@pytest.fixture(scope="session")
def model64() -> HSpaceUNet:
    """The same in float64."""
    return tiny_model(dtype=torch.float64)


@pytest.fixture
def studio(tmp_path: Path) -> "Studio":
    """The page's inside, with a tiny network and two directions."""
    from app_doubles import new_studio

    return new_studio(tmp_path)


@pytest.fixture
def picture(studio: "Studio") -> "Picture":
    """An upload of noise."""
    from asyrp.app.pictures import Picture

    image = noise(*studio.model.image_shape, seed=8).clamp(-1, 1)
    return Picture("a face", image, {"kind": "upload", "name": "a.png"})


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(autouse=True)
def _normal_denormals() -> Iterator[None]:
    """Commands flush denormals for the whole process; the next test starts without."""
    yield
    torch.set_flush_denormal(False)
