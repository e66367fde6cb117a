"""Settings of training, as data that every result carries. Imports nothing heavy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from asyrp.errors import AsyrpError

Kind = Literal["implicit", "timestep", "global"]
Optimiser = Literal["adam", "sgd"]
LossForm = Literal["mean", "log"]
Along = Literal["edited", "trajectory", "noised"]
ClipSource = Literal["predicted", "clean"]
FtLayout = Literal["ddpm", "adm"]
Like = Literal["celeba", "celeba-hq", "ffhq"]  # whose cut an aligned face has
Recipe = Literal["default", "paper", "official"]
Precision = Literal["float32", "bfloat16", "float16", "auto"]  # of products, see runtime.precision


Region = tuple[float, ...]
"""Corners of a polygon, x y of each, 0 to 1 from the left and from the top; () is everywhere."""

RATES: dict[Kind, float] = {"implicit": 5e-3, "timestep": 5e-2, "global": 2e-2}
LARGEST_SEED = 2**32 - 1  # a generator takes 64 bits, and epochs have seeds made of it


@dataclass(frozen=True)
class TrainSettings:
    """How a direction is found; docs/train_a_direction.md compares the recipes."""

    kind: Kind = "implicit"
    """What is trained: f_t, one dh a timestep, or one dh for all."""
    layout: FtLayout | None = None
    """Order of f_t's layers: conv first (DDPM) or norm first (ADM); None is the network's own."""
    zero_init: bool = True
    """Start from dh = 0; off is the official code's: PyTorch's default of f_t, noise in tables."""
    steps: int = 20
    """Length S of the timestep grid; editing on another S~ scales dh by S/S~."""
    along: Along = "edited"
    """Where P_t is edited: at random timesteps of noised images, which need no inversion; on the
    walk as edited so far (official code); or on the inverted trajectory."""
    epochs: int = 3
    """Passes over the images."""
    batch_size: int = 8
    """Images of one optimiser step."""
    optimiser: Optimiser = "adam"
    """Adam, or plain SGD as in the official code."""
    learning_rate: float | None = None
    """Learning rate of the optimiser; None is that of the kind of direction (RATES, Adam's). The
    official code's SGD uses 0.5."""
    decay: bool = True
    """Let the learning rate fall to 0 linearly; off is the official code."""
    lambda_clip: float = 1.0
    """Weight of the directional loss."""
    lambda_recon: float = 0.3
    """Weight of the L1 loss, times cos(source text, target text)."""
    lambda_keep: float = 1.0
    """Weight of movement along what texts say to keep; without such texts it does nothing."""
    clip_source: ClipSource = "predicted"
    """Source image of the directional loss: P_t unedited (paper) or the clean image (official)."""
    floor: float = 0.2
    """Least length of dI that the directional loss divides by: below it progress along dT counts,
    above it the angle. 0 is the paper's cosine, which has no gradient at dh = 0."""
    loss_form: LossForm = "mean"
    """1 - cos averaged over images (paper), or -log((2 - L)/2) (official code)."""
    validate_every: int | None = None
    """Batches between validations; None for an eighth of the run, 0 for none."""
    patience: int = 3
    """Validations without improvement before training stops."""
    seed: int = 0
    """Seed of the order of the images and of f_t's initialisation."""
    region: Region = ()
    """Corners x y x y ..., 0 to 1 from the left and the top: P_t outside is left unedited; none for
    everywhere."""
    checkpointing: bool = field(default=False, repr=False)  # changes no result
    """Compute the decoder's activations twice instead of keeping them: less memory, the same
    direction."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise AsyrpError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise AsyrpError(f"seed must lie in 0..{LARGEST_SEED}; got {self.seed}")
        if self.steps < 2:
            raise AsyrpError(f"steps must be 2 or more; got {self.steps}")
        for name in ("lambda_clip", "lambda_recon", "lambda_keep", "floor", "validate_every"):
            if (getattr(self, name) or 0) < 0:
                raise AsyrpError(f"{name} must be 0 or more; got {getattr(self, name)}")
        checked_region(self.region)
        if not self.rate > 0:
            raise AsyrpError(f"learning_rate must be above 0; got {self.learning_rate}")
        if self.zero_init:
            self.check_start()

    @property
    def rate(self) -> float:
        """The learning rate."""
        return RATES[self.kind] if self.learning_rate is None else self.learning_rate

    def check_start(self) -> None:
        """Raise AsyrpError where training from an edit that does nothing has no gradient."""
        if self.floor == 0 and self.clip_source == "predicted":
            raise AsyrpError(
                "the paper's loss (floor 0) has no gradient where nothing is edited yet; needed a "
                "floor above 0, or for a direction zero_init off (--train.no-zero-init)"
            )


def checked_region(corners: Iterable[float]) -> Region:
    """The corners as a region.

    Raises:
        AsyrpError: fewer than three, or one outside of the image.
    """
    region = tuple(corners)
    if region and (len(region) < 6 or len(region) % 2):
        raise AsyrpError(f"a region needs x y of three corners or more; got {len(region)} numbers")
    for value in region:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise AsyrpError(f"the corners of a region lie in 0..1; got {region}")
    return region


def official(kind: Kind = "implicit", layout: FtLayout | None = None) -> TrainSettings:
    """The official code's training: SGD 0.5, batch 1, one epoch, clean CLIP source, -log form."""
    return TrainSettings(
        steps=40,
        lambda_recon=3.0,
        kind=kind,
        layout=layout,
        zero_init=False,
        epochs=1,
        batch_size=1,
        optimiser="sgd",
        learning_rate=0.5,
        decay=False,
        along="edited",
        clip_source="clean",
        floor=0.0,
        loss_form="log",
        validate_every=0,
    )


def paper(kind: Kind = "implicit", layout: FtLayout | None = None) -> TrainSettings:
    """The paper's: the official code's, with P_t unedited for a source, and 1 - cos.

    lambda_clip is that of most of its attributes (tables 2 and 3).
    """
    return replace(
        official(kind, layout), lambda_clip=0.8, clip_source="predicted", loss_form="mean"
    )


RECIPES: dict[Recipe, Callable[[], TrainSettings]] = {
    "default": TrainSettings,
    "paper": paper,
    "official": official,
}
IMAGES: dict[Recipe, int] = {"default": 96, "paper": 1000, "official": 100}
"""Images to train on: the demo's, the paper's, those of the official scripts."""
