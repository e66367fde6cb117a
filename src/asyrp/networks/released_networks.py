"""Released networks by their shapes: the hyper-parameters that shapes do not tell."""

from typing import NamedTuple

from asyrp.networks.convert.hyperparameters import Said
from asyrp.networks.convert.structure import Structure


class Known(NamedTuple):
    """A released network: name, multiples of its narrowest level, and its hyper-parameters.

    `said` holds what identifies the shape too: channels, blocks, attention, norm, resampling.
    """

    name: str
    family: str
    said: Said


PLAIN_256 = (1, 1, 2, 2, 4, 4)
DDPM_256 = Known(
    "DDPM at 256 pixels (CelebA-HQ, LSUN)",
    "ddpm",
    Said(
        image_size=256,
        timesteps=1000,
        schedule="linear",
        channels=128,
        channel_mult=PLAIN_256,
        res_blocks=2,
        attention_resolutions=(16,),
        learned_sigma=False,
    ),
)
DDPM_32 = Known(
    "DDPM of CIFAR-10",
    "ddpm",
    Said(
        image_size=32,
        timesteps=1000,
        schedule="linear",
        channels=128,
        channel_mult=(1, 2, 2, 2),
        res_blocks=2,
        attention_resolutions=(16,),
        learned_sigma=False,
    ),
)


def _adm(
    channels: int,
    channel_mult: tuple[float, ...],
    res_blocks: int,
    size: int,
    attention: tuple[int, ...],
    rest: Said,
) -> Said:
    """guided-diffusion's networks: resnets resample, scale-shift norm, learned sigma."""
    shape = Said(
        image_size=size,
        channels=channels,
        channel_mult=channel_mult,
        res_blocks=res_blocks,
        attention_resolutions=attention,
        scale_shift=True,
        resblock_updown=True,
        learned_sigma=True,
        timesteps=1000,
        schedule="linear",
        new_order=False,
        rescale=False,
    )
    return rest.over(shape)


WIDE = (32, 16, 8)
ADM_94M = Known(
    "the 94M ADM of ILVR and P2-weighting (256 pixels)",
    "adm",
    _adm(128, PLAIN_256, 1, 256, (16,), Said(head_channels=64)),
)
ADM_553M = Known(
    "guided-diffusion at 256 pixels (ImageNet, LSUN)",
    "adm",
    _adm(256, PLAIN_256, 2, 256, WIDE, Said(head_channels=64)),
)
ADM_128 = Known(
    "guided-diffusion at 128 pixels",
    "adm",
    _adm(256, (1, 1, 2, 3, 4), 2, 128, WIDE, Said(heads=4)),
)
ADM_64 = Known(
    "guided-diffusion at 64 pixels",
    "adm",
    _adm(192, (1, 2, 3, 4), 3, 64, WIDE, Said(head_channels=64, new_order=True, schedule="cosine")),
)


def _improved(
    channels: int, channel_mult: tuple[float, ...], size: int, rescale: bool = True
) -> Said:
    """improved-diffusion's networks of 4000 timesteps: convolutions resample."""
    old = Said(heads=4, resblock_updown=False, timesteps=4000, schedule="cosine", rescale=rescale)
    return _adm(channels, channel_mult, 3, size, (16, 8), old)


IDDPM_LSUN = Known(
    "improved-diffusion's LSUN at 256 pixels",
    "adm",
    _adm(128, PLAIN_256, 2, 256, (16,), Said(heads=1, resblock_updown=False, scale_shift=False)),
)
IDDPM_64 = Known(
    "improved-diffusion's unconditional ImageNet-64", "adm", _improved(128, (1, 2, 3, 4), 64)
)
IDDPM_64_CLASSES = Known(
    "improved-diffusion's class-conditional ImageNet-64",
    "adm",
    _improved(192, (1, 2, 3, 4), 64, rescale=False),
)
IDDPM_32 = Known("improved-diffusion's CIFAR-10", "adm", _improved(128, (1, 2, 2, 2), 32))

KNOWN: tuple[Known, ...] = (DDPM_256, DDPM_32, ADM_94M, ADM_553M, ADM_128, ADM_64)
KNOWN += (IDDPM_LSUN, IDDPM_64, IDDPM_64_CLASSES, IDDPM_32)


def known_network(structure: Structure) -> Known | None:
    """The released network of exactly these shapes, if there is one."""
    return next((known for known in KNOWN if _matches(known, structure)), None)


def _matches(known: Known, structure: Structure) -> bool:
    said, narrow = known.said, structure.widths[0]
    size, places = said.image_size or 0, said.attention_resolutions or ()
    if known.family != structure.family or said.learned_sigma != structure.learned_sigma:
        return False
    if (narrow, structure.blocks) != (said.channels, said.res_blocks):
        return False
    if tuple(width / narrow for width in structure.widths) != said.channel_mult:
        return False
    if tuple(size >> i in places for i in range(structure.levels)) != structure.attends:
        return False
    return structure.family == "ddpm" or (
        said.resblock_updown == (structure.resample == "resnet")
        and said.scale_shift == structure.scale_shift
    )
