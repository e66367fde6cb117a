"""Write the linear weights of asyrp.scorers.lpips from the wheel lpips 0.1.4 (BSD-2).

pip download --no-deps lpips==0.1.4
python tools/convert_lpips.py lpips-0.1.4-py3-none-any.whl

Only tensors are read (weights_only); no code of the wheel runs.
"""

import argparse
import io
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from asyrp.storage.files import atomic_path

DATA = Path(__file__).parents[1] / "src" / "asyrp" / "scorers" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=DATA / "lpips_lin.safetensors")
    options = parser.parse_args()
    kept = {}
    with zipfile.ZipFile(options.wheel) as archive:
        for net in ("alex", "vgg"):
            content = io.BytesIO(archive.read(f"lpips/weights/v0.1/{net}.pth"))
            state = torch.load(content, map_location="cpu", weights_only=True)
            kept |= {f"{net}.{key}": value.contiguous() for key, value in state.items()}
    with atomic_path(options.out) as temporary:
        save_file(kept, temporary)


if __name__ == "__main__":
    main()
