"""Every finder: its settings, and what it needs. Imports nothing heavy; the work is in a file of
the finder's name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from asyrp.errors import AsyrpError
from asyrp.settings import TrainSettings, checked_region

if TYPE_CHECKING:
    from asyrp.finders.base import FinderData, FinderStep
    from asyrp.method.hspace import HSpaceUNet


class Finder:
    """Settings of a finder; the work is in the file of its name, which loads torch and more."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]

    def find(self, model: "HSpaceUNet", data: "FinderData") -> "Iterator[FinderStep]":
        """Search; the last step holds the directions. Refuses where something needed lacks."""
        import_module("asyrp.finders.base").check_needs(self, data)
        own = import_module(f"asyrp.finders.{self.name}")
        steps: Iterator[FinderStep] = own.find(self, model, data)
        return steps


@dataclass(frozen=True)
class Labels(Finder):
    """From labels: the difference of class means, or the normal of a linear classifier on h."""

    labels: str
    """FILE.csv of labels, or a judge that gives them: avatars-64 or a FILE.json of questions."""
    attribute: str
    """Column of the CSV, or what the judge is asked about."""
    value: str
    """What the direction leads to; all other images are those it leads from."""
    estimate: Literal["means", "logistic", "svm"] = "means"
    """The difference of the class means, or the normal of a logistic regression or a linear SVM."""
    inverse_penalty: float = 1.0
    """C of the classifiers: smaller values pull the normal towards the difference of the means."""
    name: ClassVar[str] = "labels"
    needs: ClassVar[frozenset[str]] = frozenset({"images", "labels"})


@dataclass(frozen=True)
class Pca(Finder):
    """Without labels: principal components of h over images or random samples."""

    components: int = 10
    """How many."""
    over: Literal["joint", "timestep"] = "joint"
    """h of all timesteps of the interval as one vector, or each timestep by itself."""
    name: ClassVar[str] = "pca"
    needs: ClassVar[frozenset[str]] = frozenset({"images"})


@dataclass(frozen=True)
class Jacobian(Finder):
    """From one image, or a few: singular vectors of what h does to the image, or the image to h."""

    of: Literal["prediction", "bottleneck"] = "prediction"
    """dP_t/dh (Haas et al. 2024), or the pullback dh/dx_t (Park et al. 2023)."""
    components: int = 5
    """How many."""
    timesteps: int = 4
    """Timesteps of the interval at which they are found; others take the nearest one's."""
    iterations: int = 15
    """Most rounds of the power iteration; it ends sooner where the vectors no longer turn."""
    length: float = 0.1
    """Norm of dh at strength 1, as a share of the mean norm of h."""
    mask: Path | None = None
    """Picture that is white where P_t counts; only for --of prediction."""
    start_seed: int = 0
    """Seed of the vectors that the iteration starts from."""
    name: ClassVar[str] = "jacobian"
    needs: ClassVar[frozenset[str]] = frozenset({"images"})

    def __post_init__(self) -> None:
        for name in ("components", "timesteps", "iterations"):
            if getattr(self, name) < 1:
                raise AsyrpError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if self.mask is not None and self.of != "prediction":
            raise AsyrpError("a mask limits P_t; leave it out, or take --of prediction")


@dataclass(frozen=True)
class Fitting:
    """How an f_t is trained, with Adam along the edited walk."""

    epochs: int = 8
    """Passes over the images."""
    batch_size: int = 8
    """Images of one optimiser step."""
    learning_rate: float = 5e-3
    """Learning rate of Adam; it falls to 0 linearly."""
    seed: int = 0
    """Seed of the order of the images and of f_t's initialisation."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise AsyrpError(f"{name} must be above 0; got {getattr(self, name)}")


@dataclass(frozen=True)
class Pairs(Finder):
    """From pairs of images, before and after: their mean difference in h, or an f_t between."""

    after: Path
    """Folder of the images after the edit, same stems as --images."""
    estimate: Literal["mean", "f_t"] = "mean"
    """One dh a timestep, the mean over the pairs; or an f_t trained so that P_t of the first meets
    that of the second."""
    train: Fitting = field(default_factory=Fitting)
    name: ClassVar[str] = "pairs"
    needs: ClassVar[frozenset[str]] = frozenset({"images", "after"})


@dataclass(frozen=True)
class Clip(Finder):
    """From one text to another, as `asyrp train` does (Kwon et al. 2023)."""

    source: str
    """What the images show, as in 'face'."""
    target: str
    """What they should show, as in 'smiling face'."""
    train: TrainSettings = field(default_factory=TrainSettings)
    name: ClassVar[str] = "clip"
    needs: ClassVar[frozenset[str]] = frozenset({"images", "text"})


@dataclass(frozen=True)
class Amortised(Finder):
    """From many text pairs: one f_t that takes the text direction as input, and so answers others.

    Each direction that it makes is an f_t like any other.
    """

    texts: Path
    """FILE.csv of the text pairs to train on, with columns source and target."""
    ask: tuple[str, ...] = ()
    """Texts to make directions of, each as SOURCE:TARGET; trained on or not."""
    train: Fitting = field(default_factory=Fitting)
    name: ClassVar[str] = "amortised"
    needs: ClassVar[frozenset[str]] = frozenset({"images", "text"})


@dataclass(frozen=True)
class Compose(Finder):
    """From directions that there are: their weighted sum, without others, between two, in places.

    A direction that depends on the image is taken as its mean dh_t over --images or --random.
    """

    directions: tuple[str, ...]
    """FILE or FILE:WEIGHT of each; they add up, and a weight below 0 turns one round."""
    without: tuple[str, ...] = ()
    """FILE of each direction that is projected out of the result, at every timestep."""
    between: float | None = None
    """Share of the way from the first to the second of two directions, by slerp at every timestep,
    in place of their sum."""
    polygon: tuple[float, ...] = ()
    """X Y of each corner, 0 to 1 from the left and from the top, of the part to edit."""
    mask: Path | None = None
    """Picture that is white where to edit, in place of a polygon."""
    segments: tuple[int, ...] = ()
    """Classes of --segmenter to edit: each place as much as the images show them there."""
    segmenter: str = ""
    """Who tells the classes: avatars-64, or a network of transformers in a folder or on the Hub."""
    name: ClassVar[str] = "compose"
    needs: ClassVar[frozenset[str]] = frozenset({"directions"})

    def __post_init__(self) -> None:
        if self.between is not None and len(self.directions) != 2:
            raise AsyrpError(
                f"--between needs two directions; got {len(self.directions)}; give two, or leave "
                "it out to add them up"
            )
        checked_region(self.polygon)
        if sum(map(bool, (self.polygon, self.mask, self.segments))) > 1:
            raise AsyrpError("one of --polygon, --mask and --segments says where; got several")
        if bool(self.segments) != bool(self.segmenter):
            raise AsyrpError("--segments and --segmenter need each other; got one")


FINDERS: dict[str, type[Finder]] = {
    one.name: one for one in (Clip, Labels, Pca, Jacobian, Pairs, Amortised, Compose)
}
