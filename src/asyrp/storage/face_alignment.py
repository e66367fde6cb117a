"""The square of a photograph that an aligned picture shows: found, cut out, and put back.

A point (x, y) is the complex number x + iy, in pixels, y downwards; pixels have their centres at
halves. Turning, scaling and shifting is then z -> a z + b (a similarity).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from asyrp.settings import Like

# Left eye, right eye, left and right corner of the mouth, as one sees the picture, in CelebA's
# aligned pictures of 178 x 218: means of the detector's points over 484 of them
# (tools/celeba_points.py). A fit to these four misses CelebA's own frame by 4 % in scale, 1.2
# degrees and 1.6 pixels (standard deviations), a fit to the eyes alone by 8 % and 2.6 degrees.
CELEBA = np.array([69.8 + 112.9j, 108.3 + 113.0j, 71.3 + 153.2j, 106.9 + 153.3j])
CELEBA_CORNER, CELEBA_SIDE = 20 + 52j, 140.0  # the box (10, 26, 80, 96) of the half of 178 x 218

FEATHER = 0.15  # share of the side over which what is put back fades out
CHANGED = 0.1  # difference (of 0..1) at which a place's own fine detail has gone to 1/e


@dataclass(frozen=True)
class Square:
    """Where an aligned picture lies in a photograph: its top left corner, and its top edge."""

    corner: complex
    edge: complex

    @property
    def side(self) -> float:
        """In pixels of the photograph."""
        return abs(self.edge)

    def at(self, inside: np.ndarray) -> np.ndarray:
        """Shares of the side (0 the top left corner, 1 + 1j the bottom right one) -> photograph."""
        return self.corner + self.edge * inside

    def outside(self, size: tuple[int, int]) -> float:
        """The share of it that lies outside of a photograph of (width, height)."""
        steps = (np.arange(64) + 0.5) / 64
        at = self.at(steps + 1j * steps[:, None])
        within = (at.real >= 0) & (at.real < size[0]) & (at.imag >= 0) & (at.imag < size[1])
        return float(1 - within.mean())


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """The a, b for which a z + b leads from `source` to `target` with the least squares.

    Args:
        source, target: (n,) complex; those of `source` are not all one.
    """
    from_mean, to_mean = source - source.mean(), target - target.mean()
    a = complex((from_mean.conj() * to_mean).sum() / (abs(from_mean) ** 2).sum())
    return a, complex(target.mean() - a * source.mean())


def square_like(like: Like, points: np.ndarray) -> Square:
    """The square that a dataset would have cut out.

    celeba: where a similarity leads from the four points to CelebA's. celeba-hq and ffhq have one
    rule (Karras et al., "Progressive growing of GANs", ICLR 2018, appendix C; FFHQ took it over):
    centred a tenth below the eyes, the larger of 4 widths of the eyes and 3.6 heights from eyes to
    mouth wide.

    Args:
        points: (4,) complex: left eye, right eye, left and right corner of the mouth.
    """
    if like == "celeba":
        a, b = similarity(CELEBA, points)
        return Square(a * CELEBA_CORNER + b, a * CELEBA_SIDE)
    left, right = complex(points[0]), complex(points[1])
    between, down = right - left, complex(points[2:].mean()) - (left + right) / 2
    across = between - 1j * down  # of both, since either alone wavers
    side = max(4 * abs(between), 3.6 * abs(down))
    edge = across / abs(across) * side
    return Square((left + right) / 2 + 0.1 * down - edge * (1 + 1j) / 2, edge)


def cut(photo: Image.Image, square: Square, size: int) -> Image.Image:
    """The square as an upright picture (size, size), by Lanczos; mirrored beyond the edges."""
    return _straight(photo, square).resize((size, size), Image.Resampling.LANCZOS)


def put_back(
    photo: Image.Image, square: Square, aligned: Image.Image, edited: Image.Image
) -> Image.Image:
    """The photograph with what an edit changed in its aligned picture, faded out at the edges.

    The change, enlarged by Lanczos, is added to the photograph. The finer detail that only the
    photograph has is kept where the edit changed little, and gives way where it changed much, or
    old lips would lie over new ones. An edit that changed nothing gives the same photograph, bit by
    bit.

    Args:
        photo: RGB. aligned: what `cut` made of it. edited: square, of any size.
    """
    small = _unit(aligned.resize(edited.size, Image.Resampling.LANCZOS))
    change = _unit(edited) - small
    straight = _unit(_straight(photo, square))
    side = straight.shape[0]
    detail = straight - _enlarged(small, side)
    gone = 1 - np.exp(-((_enlarged(_spread(change), side) / CHANGED) ** 2))
    moved = _faded(side) * (_enlarged(change, side) - gone * detail)
    return _added(photo, square, moved)


def _around(square: Square) -> list[int]:
    """Left, top, right, bottom of the pixels of a square, with room for bicubic interpolation."""
    corners = square.at(np.array([0, 1, 1j, 1 + 1j]))
    low = np.floor([corners.real.min(), corners.imag.min()]).astype(int) - 2
    high = np.ceil([corners.real.max(), corners.imag.max()]).astype(int) + 2
    return [*low.tolist(), *high.tolist()]


def _mirrored(begin: int, end: int, length: int) -> np.ndarray:
    """Indices begin..end of an axis that is mirrored at 0 and at `length`, again and again."""
    index = np.arange(begin, end) % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _straight(photo: Image.Image, square: Square) -> Image.Image:
    """The square turned upright, in about as many pixels as it has in the photograph."""
    (left, top, right, bottom), side = _around(square), max(1, round(square.side))
    rows = _mirrored(top, bottom, photo.height)
    part = np.asarray(photo)[rows][:, _mirrored(left, right, photo.width)]
    step, start = square.edge / side, square.corner - complex(left, top)
    return Image.fromarray(part).transform(
        (side, side), Image.Transform.AFFINE, _affine(step, start), Image.Resampling.BICUBIC
    )


def _affine(a: complex, b: complex) -> tuple[float, ...]:
    """z -> a z + b as Pillow takes it: from the new picture to the old one."""
    return (a.real, -a.imag, b.real, a.imag, a.real, b.imag)


def _unit(picture: Image.Image) -> np.ndarray:
    """RGB as (height, width, 3) in [0, 1]."""
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255


def _by_channel(values: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """(height, width, channels), each channel changed as a picture of its own."""
    maps = map(Image.fromarray, np.ascontiguousarray(np.moveaxis(values, 2, 0)))
    return np.stack([np.asarray(change(one)) for one in maps], axis=2)


def _enlarged(values: np.ndarray, side: int) -> np.ndarray:
    """(n, n, channels) -> (side, side, channels) by Lanczos."""
    return _by_channel(values, lambda one: one.resize((side, side), Image.Resampling.LANCZOS))


def _spread(change: np.ndarray) -> np.ndarray:
    """How much each place changed, (n, n, 1) in [0, 1], carried to its neighbours."""
    most = (np.abs(change).max(axis=2) * 255).round().astype(np.uint8)
    wide = Image.fromarray(most).filter(ImageFilter.MaxFilter(3))
    return np.asarray(wide.filter(ImageFilter.GaussianBlur(1)), dtype=np.float32)[..., None] / 255


def _faded(side: int) -> np.ndarray:
    """1 inside, 0 at the edges, smooth between, (side, side, 1)."""
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    near = np.clip(np.minimum(at, 1 - at) / FEATHER, 0, 1)
    ramp = near * near * (3 - 2 * near)
    return (ramp * ramp[:, None])[..., None]


def _added(photo: Image.Image, square: Square, moved: np.ndarray) -> Image.Image:
    """A photograph plus (side, side, 3) of the upright square, turned back."""
    (left, top, right, bottom), side = _around(square), moved.shape[0]
    left, top = max(left, 0), max(top, 0)
    width, height = min(right, photo.width) - left, min(bottom, photo.height) - top
    step = side / square.edge
    back = _affine(step, step * (complex(left, top) - square.corner))
    how = ((width, height), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    result = np.array(photo)
    part = result[top : top + height, left : left + width]
    sums = part + 255 * _by_channel(moved, lambda one: one.transform(*how))
    part[...] = sums.round().clip(0, 255)
    return Image.fromarray(result)
