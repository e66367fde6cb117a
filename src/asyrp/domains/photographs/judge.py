"""The judge of photographs: reads attributes off a face, to measure what an edit changed.

Batch normalisation, ReLU and max-pooling on purpose, and pictures of its own: the encoder that
guides an edit has none of them, so the two do not share blind spots by design.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from asyrp.domains.avatars.judge import Residual
from asyrp.errors import AsyrpError
from asyrp.storage.files import atomic_path
from asyrp.storage.untrusted.tensors import open_safetensors

TRUSTED = 0.9  # area under the curve on validation pictures below which an attribute is not judged


@dataclass(frozen=True)
class Reading:
    """How an attribute is read: the log-odds above which it shows, and the area under the curve."""

    threshold: float = 0.0
    auc: float = 0.5


class AttributeJudge(nn.Module):
    """(b, 3, 64, 64) in [-1, 1] -> log-odds of each attribute above its threshold, (b, k)."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        super().__init__()
        self.readings = dict(readings)
        self.net = nn.Sequential(
            *_layer(3, 32, kernel=5, stride=2),  # 32 x 32
            *_layer(32, 64),
            nn.MaxPool2d(2),  # 16 x 16
            Residual(64),
            *_layer(64, 128),
            nn.MaxPool2d(2),  # 8 x 8
            Residual(128),
            *_layer(128, 160),
            Residual(160),
            *_layer(160, 48, kernel=1),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(48 * 64, len(self.readings)),
        )

    @property
    def attributes(self) -> Sequence[str]:
        """Names, in the order of the log-odds."""
        return tuple(self.readings)

    @property
    def trusted(self) -> Sequence[str]:
        """The attributes that it reads well enough to judge by."""
        return tuple(name for name, one in self.readings.items() if one.auc >= TRUSTED)

    def forward(self, images: Tensor) -> Tensor:
        """Log-odds without thresholds, (b, k).

        Raises:
            AsyrpError: images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != (3, 64, 64):
            raise AsyrpError(
                f"the judge needs images (b, 3, 64, 64); got {tuple(images.shape)}; it judges "
                "pictures of photographs-64 only"
            )
        logits: Tensor = self.net(images)
        return logits

    def log_odds(self, images: Tensor) -> Tensor:
        """Above each attribute's threshold, (b, k): positive where it shows."""
        logits: Tensor = self(images)
        return logits - logits.new_tensor([one.threshold for one in self.readings.values()])


def _layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def save_judge(judge: AttributeJudge, path: Path) -> None:
    """Weights in fp16, and the readings in the header."""
    readings = {name: asdict(one) for name, one in judge.readings.items()}
    tensors = {key: value.half().contiguous() for key, value in judge.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {"readings": json.dumps(readings)})


def load_judge(path: Path | None = None) -> AttributeJudge:
    """The shipped judge (or one from a file), frozen, in eval mode and float32.

    Raises:
        AsyrpError: the file holds other weights.
    """
    shipped = files("asyrp.domains.photographs").joinpath("weights", "judge.safetensors")
    path = path or Path(str(shipped))
    try:
        with open_safetensors(path) as file:
            told = json.loads((file.metadata() or {})["readings"])
            judge = AttributeJudge({name: Reading(**one) for name, one in told.items()})
            judge.load_state_dict({key: file.get_tensor(key).float() for key in file.keys()})
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise AsyrpError(
            f"needed the weights of a judge of photographs; {str(path)!r} has others ({reason}); "
            "train one with `asyrp world`"
        ) from error
    return judge.eval().requires_grad_(False)
