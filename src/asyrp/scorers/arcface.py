"""A face-recognition network, to measure whether an edit keeps the person."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError, first_line, need
from asyrp.storage.untrusted.onnx import open_onnx

SIDE = 112  # pixels of ArcFace's crop


class Crop(NamedTuple):
    """The part of a picture that shows the face, in shares of its height and width."""

    top: float
    bottom: float
    left: float
    right: float


WHOLE = Crop(0, 1, 0, 1)
# Of faces aligned as in CelebA-HQ and FFHQ: rows 35 to 223, columns 32 to 220 of 256 (Richardson
# et al., "Encoding in style", CVPR 2021, code).
ALIGNED = Crop(35 / 256, 223 / 256, 32 / 256, 220 / 256)


class ArcFace:
    """A face-recognition network in an ONNX file, such as InsightFace's `w600k_r50.onnx`.

    A `metrics.features.FeatureNetwork` without gradients: it measures, it does not guide (Deng et
    al., "ArcFace", CVPR 2019).

    Args:
        session: of onnxruntime; (b, 3, 112, 112) RGB in [-1, 1] -> (b, d).
        name: what a report records.
        crop: where the face is.
    """

    def __init__(self, session: Any, name: str, crop: Crop = ALIGNED):
        self._session, self.name, self._crop = session, name, crop

    def __call__(self, images: Tensor) -> Tensor:
        """Faces (b, 3, height, width) in [-1, 1] -> (b, d) of unit norm, on the CPU."""
        faces = cropped(images.detach().float().cpu(), self._crop)
        entry = self._session.get_inputs()[0].name
        rows = [self._session.run(None, {entry: face[None].numpy()})[0] for face in faces]
        return functional.normalize(torch.cat([torch.from_numpy(row) for row in rows]), dim=1)


def cropped(images: Tensor, crop: Crop) -> Tensor:
    """The faces as (b, 3, 112, 112)."""
    height, width = images.shape[-2:]
    top, bottom = round(crop.top * height), round(crop.bottom * height)
    left, right = round(crop.left * width), round(crop.right * width)
    part = images[..., top:bottom, left:right]
    return functional.interpolate(
        part, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def load_identity(
    path: Path, crop: Crop = ALIGNED, providers: Sequence[str] = ("CPUExecutionProvider",)
) -> ArcFace:
    """A face-recognition network from an ONNX file (extra `identity`); else AsyrpError."""
    need("onnxruntime", "identity")
    if not path.is_file():
        raise AsyrpError(f"needed an ONNX file of a face-recognition network; no {str(path)!r}")
    try:
        session = open_onnx(path, providers)
    except Exception as error:  # onnxruntime's errors share no class
        raise AsyrpError(f"{str(path)!r} is no ONNX network ({first_line(error)})") from error
    shape = session.get_inputs()[0].shape
    if [*shape[1:]] != [3, SIDE, SIDE]:
        raise AsyrpError(
            f"needed a network of (b, 3, {SIDE}, {SIDE}) faces; {str(path)!r} takes {shape}"
        )
    return ArcFace(session, path.stem, crop)
