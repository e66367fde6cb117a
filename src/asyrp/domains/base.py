"""A domain: a network, what guides and measures it, and images with tasks, behind one name."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

import numpy as np
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.metrics.table import Scorers
from asyrp.settings import Precision, Region

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Task:
    """A text pair, and the attribute and value of the judge that say whether the edit was made.

    unseen: whether the diffusion network never saw the value. of_colour: whether it is a colour,
    which can be reached by degrees. interval: when it edits; None reads it off LPIPS curves.
    follows: attributes that a picture changes with this one (a smile opens the mouth), which are no
    leakage. region: where the value shows; the directions that ship are bound to it. compared:
    whether `compare` takes it where it is given no tasks.
    """

    name: str
    source: str
    target: str
    attribute: str = ""
    value: str = ""
    unseen: bool = False
    of_colour: bool = False
    interval: EditInterval | None = None
    follows: tuple[str, ...] = ()
    region: Region = ()
    compared: bool = True


class Images(NamedTuple):
    """Clean x of a split, (n, c, height, width), and their numbers in it."""

    split: Split
    numbers: tuple[int, ...]
    x: Tensor


class Domain(Protocol):
    """A world to work in; everything looks at x as `model` has it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def noun(self) -> str:
        """What one of its images is called."""

    @property
    def about(self) -> str:
        """Sentences about its networks, for the head of a table."""

    @property
    def fingerprint(self) -> str:
        """Changes with its weights and images."""

    @property
    def model(self) -> HSpaceUNet:
        """The network that is edited."""

    @property
    def encoder(self) -> TextImageEncoder:
        """What guides edits."""

    @property
    def distance(self) -> PerceptualDistance:
        """What finds intervals and tells how far pictures changed."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Its edits by name; most studies look at the first."""

    @property
    def scorers(self) -> Scorers:
        """Judge, segmenter, features and identity; each may be None."""

    @property
    def gives(self) -> frozenset[str]:
        """What methods may ask for: "rendered_target" where it is a `Renderer`, "labels" where a
        `Labeller`, "condition" where a `Conditioner`.
        """

    def images(self, split: Split, count: int) -> Images:
        """The first images of a split: `count`, or all where it has fewer."""

    def lacking(self, images: Images, task: Task) -> list[int]:
        """Rows of the images that show the task's attribute, but not its value."""


class Renderer(Protocol):
    """A domain that can draw what an edit should have led to."""

    def rendered_targets(self, images: Images, task: Task) -> Sequence[Tensor]:
        """The images with the task's value, (n, 3, height, width), once for each equal drawing."""


class Labeller(Protocol):
    """A domain whose images have labels to train a classifier on."""

    def labelled(self, count: int) -> tuple[Tensor, np.ndarray]:
        """Images for a classifier, unseen values among them, and indices into the judge's values.

        (n, c, height, width) and (n, attributes); -1 where an attribute is hidden.
        """


class Conditioner(Protocol):
    """A domain whose network takes a class or a caption."""

    def conditioned(self, task: Task) -> HSpaceUNet:
        """The network under the condition of the task's target."""


class Networks(NamedTuple):
    """The networks of a domain by name, and its folders of images, as short flags name them."""

    model: str
    encoder: str
    distance: str
    prompt: str = ""
    guidance: float = 1.0
    class_label: int | None = None
    images: Mapping[Split, Path] = {}


class Source(Protocol):
    """What a module `domains/FOLDER/domain.py` holds."""

    NAME: str
    NETWORKS: Networks
    TASKS: Mapping[str, Task]  # by name, also those that its judge does not read well
    KNOWS: str  # what its pictures show
    STRANGE: float  # `domains.membership.denoising_error` above which a picture is none of them

    def load(self, device: str, dtype: Precision) -> Domain:
        """The domain with its networks loaded."""

    def scorers(self, device: str) -> Scorers:
        """Judge, segmenter, features and identity alone, for pictures."""


def built_in() -> list[str]:
    """The names of the domains that come with the package: FOLDER-SIDE, of domains/FOLDER."""
    folder = Path(__file__).parent
    found = sorted(path.parent.name for path in folder.glob("*/domain.py"))
    return [cast(Source, import_module(f"asyrp.domains.{name}.domain")).NAME for name in found]


def source_of(spec: str) -> Source:
    """What makes a domain, without loading its networks.

    spec: the name of a built-in domain, a FILE.toml, or an installed module that is a `Source`.

    Raises:
        AsyrpError: nothing by that name.
    """
    if Path(spec).suffix == ".toml":
        return cast(Source, import_module("asyrp.domains.own").read_domain(Path(spec)))
    folder = spec.rpartition("-")[0]
    inside = (Path(__file__).parent / folder / "domain.py").is_file() and folder.isidentifier()
    try:
        found = import_module(f"asyrp.domains.{folder}.domain" if inside else spec)
    except (ImportError, ValueError, TypeError):
        found = None
    if found is None or (inside and spec != found.NAME) or not hasattr(found, "NETWORKS"):
        raise AsyrpError(
            f"unknown domain {spec!r}; needed one of: {', '.join(built_in())}, a FILE.toml "
            "(asyrp domain init writes one), or a module that makes one"
        )
    return cast(Source, found)


def load_domain(spec: str, device: str = "cpu", dtype: Precision = "float32") -> Domain:
    """A domain with its networks; see `source_of` for what may be named."""
    return source_of(spec).load(device, dtype)


def task_of(domain: Domain, name: str) -> Task:
    """A task by name.

    Raises:
        AsyrpError: the domain has none of that name.
    """
    if name not in domain.tasks:
        raise AsyrpError(f"unknown task {name!r}; needed one of: {', '.join(domain.tasks)}")
    return domain.tasks[name]


def guide_of(domain: Domain, task: Task, keep: bool = False) -> TextDirection:
    """The text pair of a task; keep: what the other tasks are about, but what goes with this."""
    others = others_of(domain.tasks.values(), task.target) if keep else ()
    return new_text_direction(domain.encoder, task.source, task.target, keep=others)


def others_of(tasks: Iterable[Task], target: str) -> list[str]:
    """Target texts of the tasks that are not about what `target` changes, or what goes with it."""
    every = list(tasks)
    own = [task for task in every if task.target == target]
    due = {name for task in own for name in (task.attribute, *task.follows)}
    return [task.target for task in every if task.attribute not in due and task.target != target]


def own_interval(tasks: Iterable[Task]) -> EditInterval | None:
    """The interval on which all tasks edit, where they have one."""
    found = {task.interval for task in tasks}
    return found.pop() if len(found) == 1 else None


def fingerprint_of(files: Iterable[Path]) -> str:
    """SHA-256 (hex) of the content of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
