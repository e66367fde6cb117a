"""A face-recognition network, to measure whether an edit keeps the person."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError, first_line, need
from asyrp.storage.untrusted.onnx import open_onnx

SIDE = 112  # pixels of ArcFace's crop


# Of faces aligned as in CelebA-HQ and FFHQ: rows 35 to 223, columns 32 to 220 of 256 (Richardson
# et al., "Encoding in style", CVPR 2021, code).
ROWS, COLUMNS = (35 / 256, 223 / 256), (32 / 256, 220 / 256)


class ArcFace:
    """A face-recognition network in an ONNX file, such as InsightFace's `w600k_r50.onnx`.

    A `metrics.features.FeatureNetwork` without gradients: it measures, it does not guide (Deng et
    al., "ArcFace", CVPR 2019).

    Args:
        session: of onnxruntime; (b, 3, 112, 112) RGB in [-1, 1] -> (b, d). name: for reports.
    """

    def __init__(self, session: Any, name: str):
        self._session, self.name = session, name

    def __call__(self, images: Tensor) -> Tensor:
        """Faces (b, 3, height, width) in [-1, 1] -> (b, d) of unit norm, on the CPU."""
        faces = cropped(images.detach().float().cpu())
        entry = self._session.get_inputs()[0].name
        rows = [self._session.run(None, {entry: face[None].numpy()})[0] for face in faces]
        return functional.normalize(torch.cat([torch.from_numpy(row) for row in rows]), dim=1)


def cropped(images: Tensor) -> Tensor:
    """The faces as (b, 3, 112, 112)."""
    height, width = images.shape[-2:]
    top, bottom = (round(share * height) for share in ROWS)
    left, right = (round(share * width) for share in COLUMNS)
    part = images[..., top:bottom, left:right]
    return functional.interpolate(
        part, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def load_identity(path: Path) -> ArcFace:
    """A face-recognition network from an ONNX file (extra `identity`); else AsyrpError."""
    need("onnxruntime", "identity")
    if not path.is_file():
        raise AsyrpError(f"needed an ONNX file of a face-recognition network; no {str(path)!r}")
    try:
        session = open_onnx(path)
    except Exception as error:  # onnxruntime's errors share no class
        raise AsyrpError(f"{str(path)!r} is no ONNX network ({first_line(error)})") from error
    shape = session.get_inputs()[0].shape
    if [*shape[1:]] != [3, SIDE, SIDE]:
        raise AsyrpError(
            f"needed a network of (b, 3, {SIDE}, {SIDE}) faces; {str(path)!r} takes {shape}"
        )
    return ArcFace(session, path.stem)
