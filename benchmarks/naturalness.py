"""Whether edits of photographs look like photographs, of the same person.

Run: ASYRP_PHOTOGRAPHS=DIR python benchmarks/naturalness.py
Test photographs that lack a value are edited by the direction that ships, as `asyrp edit` does it.
The Frechet distance is that to test photographs that show the value, before and after; a network
that recognises faces (dlib's, trained on other pictures) says whether the person stayed. It writes
docs/naturalness.md.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from torch import Tensor
from torch.nn import functional

from asyrp.domains.base import Domain, Images, Task, guide_of, load_domain, task_of
from asyrp.domains.inverted_images import inverted
from asyrp.domains.shipped import load_named, shipped_for
from asyrp.errors import need
from asyrp.experiments.measure import measured
from asyrp.reporting.statistics import HOW, Estimate, of_mean
from asyrp.reporting.tables import markdown, percent
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import Precision
from asyrp.storage.images import to_uint8
from asyrp.storage.json_files import write_json, write_text
from directions import as_needed, lacking_images

MOST = 2000  # test photographs to look through for those that show a value
ACCEPTED = 0.01  # of strangers that pass for the same person at the distance that counts as same
SIDE, FACE = 256, (48, 70, 208, 230)  # enlarged to, and where a face is in pictures cut as CelebA's


@dataclass(frozen=True)
class Options:
    """Measure what ships."""

    tasks: tuple[str, ...] = ()
    """Tasks; none for all whose direction ships."""
    domain: str = "photographs-64"
    """The domain."""
    test: int = 64
    """Test photographs that lack the value."""
    dtype: Precision = "auto"
    """Precision of the networks' products."""
    docs: Path = Path("docs")
    """Folder of the page, and of naturalness.json; a task that is there is not done again."""


class Recogniser(NamedTuple):
    """dlib's points of a face in a box, and its network of 128 numbers a face."""

    box: Any
    points: Any
    network: Any

    def __call__(self, x: Tensor) -> np.ndarray:
        """(n, 3, 64, 64) in [-1, 1] -> (n, 128)."""
        big = functional.interpolate(x.float(), (SIDE, SIDE), mode="bicubic", antialias=True)
        every = map(np.ascontiguousarray, to_uint8(big.clamp(-1, 1)))
        return np.stack([self._one(pixels) for pixels in every])

    def _one(self, pixels: np.ndarray) -> np.ndarray:
        shape = self.points(pixels, self.box)
        return np.array(self.network.compute_face_descriptor(pixels, shape))


def recogniser() -> Recogniser:
    """From the weights that come with the extra `align`."""
    dlib = need("dlib", "align")
    spec = find_spec("face_recognition_models")
    assert spec is not None
    (place,) = spec.submodule_search_locations or ("",)
    folder = Path(place) / "models"
    points = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    network = folder / "dlib_face_recognition_resnet_model_v1.dat"
    return Recogniser(dlib.rectangle(*FACE), points, dlib.face_recognition_model_v1(str(network)))


def main(options: Options) -> None:
    """Measure what is missing, then write the page."""
    set_up_torch()
    domain, known = load_domain(options.domain, dtype=options.dtype), recogniser()
    kept = options.docs / "naturalness.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    limit = strangers(known, domain.images("validation", 200).x)
    for name in options.tasks or sorted(shipped_for(domain.model.fingerprint())):
        if name not in found:
            found[name] = measure(domain, task_of(domain, name), known, limit, options.test)
            write_json(kept, found)
            print(name, found[name], flush=True)
    write_text(options.docs / "naturalness.md", page(domain, found, limit, options))


def strangers(known: Recogniser, x: Tensor) -> float:
    """The distance below which ACCEPTED of all pairs of photographs lie."""
    told = known(x)
    apart = np.linalg.norm(told[:, None] - told[None], axis=-1)
    return float(np.quantile(apart[np.triu_indices(len(told), 1)], ACCEPTED))


def measure(
    domain: Domain, task: Task, known: Recogniser, limit: float, count: int
) -> dict[str, Any]:
    """Frechet distances and identity of one task's edits."""
    saved = load_named(Path(task.name), domain.model)
    card, guide = saved.card, guide_of(domain, task)
    begins = domain.model.t_top if card.t_start is None else card.t_start
    images = inverted(domain.model, lacking_images(domain, task, "test", count, 2), begins)
    edits = as_needed(domain, images, saved, guide, card.strength, card.enough)
    showing = of_value(domain, task)
    first, then = known(images.images), known(edits)
    moved = np.linalg.norm(first - then, axis=1)
    both = [measured(domain, task, images, x, showing)["sets"] for x in (images.images, edits)]
    return {
        "images": len(images.numbers),
        "showing": len(showing),
        "before": both[0]["fid"],
        "after": both[1]["fid"],
        "same": of_mean((moved < limit).astype(float)),
        "distance": of_mean(moved),
    }


def of_value(domain: Domain, task: Task) -> Tensor:
    """The test photographs that show a value."""
    images: Images = domain.images("test", MOST)
    lacking = {*domain.lacking(images, task)}
    return images.x[[row for row in range(len(images.numbers)) if row not in lacking]]


def page(domain: Domain, found: dict[str, Any], limit: float, options: Options) -> str:
    """naturalness.md."""
    rows = []
    for name, one in found.items():
        known = {k: Estimate(**v) if isinstance(v, dict) else v for k, v in one.items()}
        rows.append(
            {
                "edit": domain.tasks[name].target,
                "photographs": f"{known['images']}, {known['showing']} show it",
                "Frechet distance before": known["before"],
                "after": known["after"],
                "same person, %": percent(known["same"]),
                "distance of faces": known["distance"],
            }
        )
    by = getattr(domain.scorers.features, "name", "")
    left = [name for name in shipped_for(domain.model.fingerprint()) if name not in found]
    more = f"\nNot measured: {', '.join(left)}.\n" if left else ""
    return (
        "# Do edited photographs look natural?\n\n"
        f"Written by `python benchmarks/naturalness.py`: {options.test} test photographs that lack "
        "a value, edited by the\ndirection that ships as `asyrp edit` does it. *Frechet distance*: "
        f"by {by}, to the test\nphotographs that show the value; before, of the photographs as "
        "they are; comparable in a row only; that\njudge chose the strengths, on validation "
        "photographs.\n*Same person*: dlib's network for faces, trained on "
        f"other pictures, has both nearer to each other than {limit:.2f},\nwhich {ACCEPTED:.0%} of "
        f"pairs of strangers among validation photographs are. {HOW}.\n\n{markdown(rows, 2)}{more}"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
