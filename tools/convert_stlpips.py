"""Write the weights of asyrp.scorers.st_lpips from the wheel stlpips-pytorch 0.0.2 (BSD-2).

pip download --no-deps stlpips-pytorch==0.0.2
python tools/convert_stlpips.py stlpips_pytorch-0.0.2-py3-none-any.whl

Only tensors are read (weights_only); no code of the wheel runs.
"""

import argparse
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from asyrp.scorers.st_lpips import ShiftTolerantLPIPS
from asyrp.storage.files import atomic_path

INSIDE = "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth"
CONVS = ("net.slice1.0", "net.slice2.5", "net.slice3.9", "net.slice4.11", "net.slice5.13")
WEIGHTS = Path(__file__).parents[1] / "src" / "asyrp" / "scorers" / "data"


def read_wheel(wheel: Path) -> Mapping[str, Tensor]:
    with zipfile.ZipFile(wheel) as archive:
        return torch.load(io.BytesIO(archive.read(INSIDE)), map_location="cpu", weights_only=True)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    convs = {
        f"convs.{i}.{kind}": state[f"{name}.{kind}"]
        for i, name in enumerate(CONVS)
        for kind in ("weight", "bias")
    }
    return convs | {f"heads.{i}": state[f"lin{i}.model.1.weight"].flatten() for i in range(5)}


def stored(name: str, tensor: Tensor) -> Tensor:
    """fp16 but for what its rounding moves a distance by: heads, biases and the first layer."""
    exact = tensor.ndim == 1 or name.startswith("convs.0.")
    return (tensor if exact else tensor.half()).contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=WEIGHTS / "stlpips_alex.safetensors")
    parser.add_argument("--exact", action="store_true", help="all of it in float32")
    options = parser.parse_args()
    state = renamed(read_wheel(options.wheel))
    ShiftTolerantLPIPS().load_state_dict(state)  # fails where names or shapes differ
    kept = state if options.exact else {name: stored(name, v) for name, v in state.items()}
    with atomic_path(options.out) as temporary:
        save_file(kept, temporary)


if __name__ == "__main__":
    main()
