"""Options that several commands share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from asyrp.settings import Precision, TrainSettings

Repeated: Any = tyro.conf.UseAppendAction
Flat = tyro.conf.arg(name="")

Overwrite = Annotated[
    bool, tyro.conf.arg(help="Replace files of --out that others made, or changed since.")
]
Steps = Annotated[int, tyro.conf.arg(help="Timesteps of the grid (2 to T).")]
InversionName = Literal["ddim", "belm", "bdia", "edict", "ddpm"]  # as in method.inversion
Inversion = Annotated[
    InversionName,
    tyro.conf.arg(
        help="The way to latents and back: ddim, with --convention and --refinements; or exactly, "
        "without them: belm, bdia (a network call a step), edict (two), ddpm (edit-friendly noise "
        "maps)."
    ),
]
Training = Annotated[TrainSettings, tyro.conf.arg(name="train")]


def unset(said: str, kind: str) -> Any:
    """What --help says of an option whose default is None: what happens then, and its kind."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {said})", metavar=kind)


# The same for settings of training, which know nothing of a command line.
for name, hint in {
    "layout": unset("the network's own", "{ddpm,adm}"),
    "learning_rate": unset("that of the kind", "FLOAT"),
    "validate_every": unset("an eighth of the run", "INT"),
    "region": unset("everywhere", "[FLOAT ...]"),
}.items():
    TrainSettings.__annotations__[name] = Annotated[TrainSettings.__annotations__[name], hint]


class Unasked(str):
    """The default of an option, told from the same word when it was asked for."""

    __slots__ = ()


@dataclass(frozen=True)
class Network:
    """Which network, where and how precise."""

    model: str = "avatars-64"
    """Built-in name (avatars-64, photographs-64); preset (celeba-hq, lsun-church, lsun-bedroom,
    afhq-dog, metfaces, ffhq, celeba-hq-p2, imagenet-256); diffusers folder; original DDPM or ADM
    checkpoint; URL of one as "https://...#sha256=HEX"; or Hub id (google/ddpm-ema-celebahq-256,
    @REVISION behind it)."""
    device: str = "cpu"
    """Torch device, as in cpu, cuda or cuda:1; a GPU is used only where it is named."""
    dtype: Precision = "float32"
    """Precision of the products of the networks; norms, statistics and schedule are float32 always.
    auto is bfloat16 on GPUs and on CPUs that are faster with it, elsewhere float32."""
    batch_size: int | Literal["auto"] = "auto"
    """Images at a time: memory and speed; results do not depend on it. auto is 16 on a CPU, and
    elsewhere 256. What does not fit into memory is halved, and goes on."""
    prompt: str = ""
    """Prompt of a text-to-image network (Stable Diffusion), the same for all images."""
    guidance: float = 1.0
    """Weight of the prompt (classifier-free guidance); 1 is the prompt alone."""
    class_label: Annotated[int | None, unset("none", "INT")] = None
    """Class of a class-conditional network (0 or more), the same for all images."""
    domain: str = ""
    """A domain (avatars-64, photographs-64, FILE.toml) that names the network, its prompt or class,
    the encoder, the distance and the images to train on, in place of the flags for them."""

    @property
    def at_once(self) -> int:
        """Images at a time, as a number."""
        if self.batch_size != "auto":
            return self.batch_size
        return 16 if self.device.startswith("cpu") else 256


@dataclass(frozen=True)
class OnDomain:
    """Which domain, where, and by how many processes."""

    domain: str = "avatars-64"
    """Network, guides, images, judge and tasks: avatars-64, photographs-64, FILE.toml of your own
    (asyrp domain init writes one), or an installed module that makes one."""
    device: str = "cpu"
    """Torch device of the network, as in cpu or cuda; a GPU is used only where it is named."""
    dtype: Precision = "float32"
    """Precision of the products of the networks, as of other commands."""
    workers: int = 2
    """Processes of one thread each; results do not depend on it."""


@dataclass(frozen=True)
class Inverting:
    """How images become latents."""

    convention: Literal["source", "target", "extrapolated"] = "source"
    """Where the noise of an inversion step is evaluated: at its start (the paper's code), its end,
    or extrapolated from the last two starts (second order; no more network calls)."""
    refinements: int = 1
    """Fixed-point iterations a step, one more network call each; 0 is the paper's code."""


@dataclass(frozen=True)
class Guides:
    """The networks that guide and measure."""

    encoder: str = Unasked("avatars-64-clip")
    """Text-image encoder: avatars-64-clip or photographs-64-clip (built in, know drawn faces or
    photographs of faces alone); clip (the paper's CLIP ViT-B/16), for photographs; or a CLIP-like
    model of transformers, a folder or Hub id."""
    distance: str = Unasked("st-lpips-alex")
    """Perceptual distance: st-lpips-alex (built in, its thresholds are of drawn faces); lpips-alex
    (the paper's), for photographs; lpips-vgg; or a file of weights for LPIPS."""


@dataclass(frozen=True)
class Applying:
    """Which directions, and how strongly."""

    direction: Annotated[tuple[str, ...], Repeated] = ()
    """FILE or FILE:STRENGTH, or in place of FILE the name of one that ships (asyrp directions);
    several add up, each on its own interval."""
    strength: float = 1.0
    """Factor on every direction, times that of its card; negative reverses it."""
    t_start: Annotated[int | None, unset("each file's own", "INT")] = None
    """First timestep of editing, for every direction."""
    t_edit: Annotated[int | None, unset("each file's own", "INT")] = None
    """Last timestep of editing, for every direction."""
    t_boost: Annotated[int | None, unset("the lowest of the files'", "INT")] = None
    """Timestep below which noise is added (quality boosting); 0 for none."""
    region: Annotated[tuple[float, ...] | None, unset("each file's own", "[FLOAT ...]")] = None
    """Corners x y x y ..., 0 to 1 from the left and the top, of where directions act: P_t outside
    is left unedited at every step. 0 0 1 0 1 1 0 1 is the whole image."""
    seed: int = 0
    """Seed of the noise: one generator an image."""
    force: bool = False
    """Use directions of another network, at your own risk."""


def one_of(kinds: Mapping[str, Any]) -> Any:
    """The union of some options, each a subcommand of its name."""
    named = [Annotated[k, tyro.conf.subcommand(n, prefix_name=False)] for n, k in kinds.items()]
    return Union[tuple(named)]  # noqa: UP007


def asking(commands: Mapping[str, Any]) -> Any:
    """The dataclass of a command line: one of the commands, and what every command can be asked."""
    kinds = one_of(commands)

    @tyro.conf.configure(tyro.conf.CascadeSubcommandArgs)
    @dataclass(frozen=True)
    class Asked:
        command: Annotated[kinds, Flat]  # type: ignore[valid-type]
        json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
        """Print the result as one JSON object on standard output; all else goes to the other."""
        dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
        """Say what would be done, how long, and in how much memory; write nothing."""

    return Asked
