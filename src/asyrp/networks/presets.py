"""The networks of the paper by name: weights, licence, texts, tables and what was published."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from asyrp.errors import AsyrpError
from asyrp.networks.convert.hyperparameters import Said
from asyrp.networks.released_networks import ADM_94M, ADM_553M, DDPM_256, Known
from asyrp.networks.released_tables import released_intervals
from asyrp.networks.released_texts import text_pairs

LAMBDA_RECON = 3.0  # times cos(source, target); README and scripts of the official code
LAMBDA_CLIP = 1.0  # of the scripts, where the paper gives none
PAPER_CLIP = 0.8


class Source(NamedTuple):
    """A place that weights come from.

    place: a Hub id, a file of a Hub repository (owner/name/file), both with "@revision" where one
    is known (others in `untrusted.revisions`), or a URL; "#md5=..." or "#sha256=..." behind it is
    checked. note: what to know about it.
    """

    kind: Literal["hub", "hub file", "url"]
    place: str
    note: str = ""


class AttributePreset(NamedTuple):
    """A text pair with the settings that were published for it.

    t_edit: of the paper's tables 2 and 3; None where none was published.
    """

    source: str
    target: str
    lambda_clip: float = LAMBDA_CLIP
    lambda_recon: float = LAMBDA_RECON
    t_edit: int | None = None
    unseen: bool | None = None


class Preset(NamedTuple):
    """A network of the paper.

    files: names of the original file, looked for in the cache folder first. category: as names
    of released directions say it. domain: of its text pairs. tables: dataset of the released
    LPIPS tables, None without. by_hand: a page from which a person can fetch the file.
    """

    name: str
    network: Known
    files: tuple[str, ...]
    sources: tuple[Source, ...]
    licence: str
    domain: str
    category: str | None = None
    tables: str | None = None
    by_hand: str = ""

    @property
    def said(self) -> Said:
        """Its hyper-parameters."""
        return self.network.said

    @property
    def attributes(self) -> dict[str, AttributePreset]:
        """Name -> texts and settings."""
        published = PAPER if self.name == "celeba-hq" else {}
        pairs = text_pairs(self.domain)
        return {n: published.get(n, AttributePreset(*pair)) for n, pair in pairs.items()}

    @property
    def t_boost(self) -> int | None:
        """From the released table; None without one."""
        return released_intervals(self.tables, 1.0).t_boost if self.tables else None


def _paper() -> Mapping[str, AttributePreset]:
    """The paper's tables 2 and 3 (CelebA-HQ): t_edit, and whether the target is unseen."""
    seen = {"smiling": 513, "sad": 513, "angry": 512, "tanned": 512, "man": 513, "woman": 513}
    seen |= {"young": 515, "curly_hair": 499}
    unseen = {"nicolas": 461, "pixar": 446, "neanderthal": 490, "modigliani": 403, "frida": 321}
    pairs = text_pairs("human")
    return {
        name: AttributePreset(
            *pairs[name],
            lambda_clip=1.2 if name == "neanderthal" else PAPER_CLIP,
            t_edit=t_edit,
            unseen=name in unseen,
        )
        for name, t_edit in (seen | unseen).items()
    }


PAPER = _paper()

OTHER = "other weights than the released directions were trained on, as far as is known"
S3 = "https://image-editing-test-12345.s3-us-west-2.amazonaws.com/checkpoints/"
HEIBOX = "https://heibox.uni-heidelberg.de/f/"
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
OLD_DRIVE = "https://drive.google.com/uc?export=download&confirm=t&id="
OPENAI_SHA256 = "a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1"
OPENAI = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/"
ONEDRIVE = "https://1drv.ms/u/s!AkQjJhxDm0Fyhqp_4gkYjwVRBe8V_w"  # of the official README
DEAD = "answers 403 since 2023"
NONE_KNOWN = "code MIT; for the weights no licence is stated; "


def _drive(key: str) -> Source:
    return Source("url", DRIVE + key, "Google Drive; large files are refused at times")


CELEBA_HQ = Preset(
    name="celeba-hq",
    network=DDPM_256,
    files=("celeba_hq.ckpt",),
    sources=(
        Source("hub file", "gwang-kim/DiffusionCLIP-CelebA_HQ/celeba_hq.ckpt", "mirror of SDEdit"),
        _drive("1wSoA5fm_d6JBZk4RZ1SzWLMgev4WqH21"),  # named in SDEdit's and DDNM's threads
        Source("url", S3 + "celeba_hq.ckpt", DEAD),
        Source("hub", "google/ddpm-ema-celebahq-256", OTHER),
        Source("hub", "google/ddpm-celebahq-256", OTHER),
    ),
    licence=NONE_KNOWN + "CelebA-HQ is for research only. google/ddpm-*: Apache-2.0",
    domain="human",
    category="CelebA_HQ",
    tables="celeba",
)
LSUN_CHURCH = Preset(
    name="lsun-church",
    network=DDPM_256,
    files=("church_outdoor.ckpt", "model-4432000.ckpt"),
    sources=(
        Source(
            "url", HEIBOX + "44ccb50ef3c6436db52e/?dl=1#md5=fdc68a23938c2397caba4a260bc2445f", "EMA"
        ),
        Source("hub", "google/ddpm-ema-church-256", "likely the same weights; not compared"),
        Source("url", S3 + "church_outdoor.ckpt", DEAD),
        Source("hub", "google/ddpm-church-256", OTHER),
    ),
    licence="google/ddpm-*: Apache-2.0; elsewhere none is stated for the weights",
    domain="church",
    category="church_outdoor",
    tables="church",
)
LSUN_BEDROOM = Preset(
    name="lsun-bedroom",
    network=DDPM_256,
    files=("bedroom.ckpt", "model-2388000.ckpt"),
    sources=(
        Source(
            "url", HEIBOX + "b95206528f384185889b/?dl=1#md5=1921fa46b66a3665e450e42f36c2720f", "EMA"
        ),
        Source("hub", "google/ddpm-ema-bedroom-256", "likely the same weights; not compared"),
        Source("url", S3 + "bedroom.ckpt", DEAD),
        Source("hub", "google/ddpm-bedroom-256", OTHER),
    ),
    licence="google/ddpm-*: Apache-2.0; elsewhere none is stated for the weights",
    domain="bedroom",
    category="bedroom",
    tables="bedroom",
)
AFHQ_DOG = Preset(
    name="afhq-dog",
    network=ADM_94M,
    files=("afhq_dog_4m.pt",),
    sources=(
        _drive("14OG_o3aa8Hxmfu36IIRyOgRwEP6ngLdo"),
        Source("url", DRIVE + "1f6_swzSPNJXs9FWf6AW585bv7dORzRWf", f"P2-weighting's: {OTHER}"),
    ),
    licence=NONE_KNOWN + "AFHQ is CC BY-NC 4.0",
    domain="dog",
    category="dog",
    tables="afhq",
    by_hand=ONEDRIVE,
)
METFACES = Preset(
    name="metfaces",
    network=ADM_94M,
    files=("metface_p2.pt",),
    sources=(
        _drive("1swjgSB1WFF9JnBR6W6Newnfzdyo1nPYf"),
        Source("url", DRIVE + "1SaHqew52S9iRCeN7kpPMLqlo2t34ekTb", f"without P2: {OTHER}"),
    ),
    licence=NONE_KNOWN + "MetFaces is CC BY-NC 2.0",
    domain="metface",
    category="metfaces",
    tables="metface",
    by_hand=ONEDRIVE,
)
FFHQ = Preset(
    name="ffhq",
    network=ADM_94M,
    files=("ffhq_10m.pt", "ffhq_p2.pt"),
    sources=(
        _drive("117Y6Z6-Hg6TMZVIXMmgYbpZy7QvTXign"),
        _drive("1nlCPBqOqSeqAQ8F4noThbnmr4okriwTc"),
        Source("hub", "xutongda/adm_ffhq_256x256", "ILVR's, as converted for a fork of diffusers"),
    ),
    licence=NONE_KNOWN + "FFHQ is CC BY-NC-SA 4.0",
    domain="human",
    by_hand=ONEDRIVE,
)
CELEBA_HQ_P2 = Preset(
    name="celeba-hq-p2",
    network=ADM_94M,
    files=("celebahq_p2.pt",),
    sources=(
        _drive("1ag8JnvKGKo6L6avO_dTFEBNWJo2jZIDF"),
        Source("url", OLD_DRIVE + "1ag8JnvKGKo6L6avO_dTFEBNWJo2jZIDF", "the same, other address"),
    ),
    licence=NONE_KNOWN + "CelebA-HQ is for research only",
    domain="human",
    by_hand=ONEDRIVE,
)
IMAGENET_256 = Preset(
    name="imagenet-256",
    network=ADM_553M,
    files=("256x256_diffusion_uncond.pt",),
    sources=(
        Source("url", OPENAI + "256x256_diffusion_uncond.pt#sha256=" + OPENAI_SHA256),
        Source("hub", "xutongda/adm_imagenet_256x256_unconditional", "for a fork of diffusers"),
    ),
    licence="MIT (guided-diffusion); ImageNet is for research only",
    domain="imagenet",
)
EVERY = (CELEBA_HQ, LSUN_CHURCH, LSUN_BEDROOM, AFHQ_DOG, METFACES, FFHQ, CELEBA_HQ_P2, IMAGENET_256)
PRESETS = {preset.name: preset for preset in EVERY}


def find_preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        AsyrpError: no such preset.
    """
    if name not in PRESETS:
        raise AsyrpError(f"unknown preset {name!r}; needed one of: {', '.join(PRESETS)}")
    return PRESETS[name]
