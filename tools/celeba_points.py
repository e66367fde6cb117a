"""Where CelebA's alignment has the eyes and the corners of the mouth: the mean over many pictures.

    python tools/celeba_points.py ALIGNED [EVERY]

ALIGNED is a folder or zip of CelebA's aligned pictures (178 x 218, or 89 x 109); every EVERYth is
read. Prints means and deviations in pixels of 178 x 218, and how far the fit of a similarity to the
means misses the frame, for two choices of points. Needs the extra `align`. The means are CELEBA in
`asyrp.storage.face_alignment`.
"""

import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

from asyrp.scorers.face_detector import load_face_detector
from asyrp.storage.face_alignment import similarity

WIDTH, HEIGHT = 178, 218
ZOOM = 2  # the detector finds faces of 80 pixels and more
CENTRE = complex(WIDTH, HEIGHT) / 2
CHOICES = {"eyes": [0, 1], "eyes and mouth": [0, 1, 2, 3]}


def pictures(source: Path, every: int):
    if source.is_dir():
        for path in sorted(source.glob("*.jpg"))[::every]:
            yield Image.open(path)
        return
    with ZipFile(source) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg"))[::every]:
            yield Image.open(BytesIO(archive.read(name)))


def main(source: str, every: str = "1") -> None:
    detect, points, turns, seen = load_face_detector(), [], [], 0
    for picture in pictures(Path(source), int(every)):
        seen += 1
        size = (WIDTH * ZOOM, HEIGHT * ZOOM)
        faces = detect(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))
        if len(faces) == 1:
            points.append(faces[0].points / ZOOM)
            turns.append(abs(faces[0].turn))
    table = np.array(points)
    means = table.mean(0)
    print(f"{len(table)} of {seen} pictures have one face")
    for part, axis in (("x", table.real), ("y", table.imag)):
        print(part, "mean", axis.mean(0).round(1), "deviation", axis.std(0).round(1))
    for name, chosen in CHOICES.items():
        fits = [similarity(row[chosen], means[chosen]) for row in table]
        scale, shift = np.array([z for z, _ in fits]), [z * CENTRE + t - CENTRE for z, t in fits]
        print(
            f"fit to {name}: scale {np.abs(scale).std():.3f}, "
            f"rotation {np.degrees(np.angle(scale)).std():.1f} degrees, "
            f"shift {np.std(shift):.1f} pixels"
        )
    shares = [0.5, 0.9, 0.95, 0.99, 1]
    print("turn, quantiles", shares, np.quantile(turns, shares).round(2))


if __name__ == "__main__":
    main(*sys.argv[1:])
