"""Options of evaluate."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import Flat, Guides, Overwrite, unset


@dataclass(frozen=True)
class Evaluate:
    """Measure edits: a table with intervals, an audit of subgroups, and figures."""

    images: str
    """The sources: a folder, FILE.csv of attributes, an LMDB folder, or hf:NAME[:SPLIT]; fitted to
    the size of the edits as edit fits its inputs."""
    edits: tuple[Path, ...]
    """Folder of their edits, same stems as the sources, all of one size; several: the same edits
    with other seeds, over which intervals are taken too."""
    out: Path
    """Folder for table.md, table.csv, table.json, the figures, and look.html for people."""
    source: str = ""
    """What the images show, as in 'face'; with --target it gives S_dir."""
    target: str = ""
    """What the edits should show, as in 'smiling face'."""
    reconstructions: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of the reconstructions: leakage is then compared with their own changes."""
    perfect: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of the edits as they should be, same stems: drawn, or other pictures with the value.
    FID and KID are taken to them, and they are measured beside the edits."""
    wrong: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of edits to another value, same stems. With --perfect a measure by which the perfect
    edit is not the best is told as no score."""
    against: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of another method's edits: look.html then asks, blind, which of two is better."""
    answers: Annotated[Path | None, unset("none", "FILE")] = None
    """Answers that look.html saved: their agreement with the judge, and Cohen's kappa."""
    attribute: str = ""
    """Attribute that the judge looks at, as in 'mouth'."""
    value: str = ""
    """The value it should take, as in 'smiling'; of a FILE.json one of the attribute's texts."""
    domain: str = ""
    """Judge, encoder and distance of a domain at once, in place of --judge and the guides."""
    judge: str = "avatars-64"
    """Who judges attributes: a domain (avatars-64, photographs-64, FILE.toml), whose networks see
    parts, identity and realism too; a FILE.json of questions to a text-image encoder; or none."""
    segmenter: Annotated[str, unset("the judge's", "STR")] = ""
    """Segmentation network for SC, a folder or Hub id of transformers."""
    identity: Annotated[str, unset("the judge's", "STR")] = ""
    """ONNX file of a face-recognition network."""
    features: str = "judge"
    """Whose features FID and KID compare: judge (without one --encoder), encoder, or an image
    network of transformers in a folder or on the Hub, as in facebook/dinov2-base."""
    compare_with: Literal["original", "reconstruction"] = "original"
    """Source image of S_dir."""
    leave_out: Annotated[
        tuple[Literal["s_dir", "success", "lpips", "sc", "identity", "fid", "diversity"], ...],
        tyro.conf.UseAppendAction,
    ] = ()
    """Metrics to leave out (fid: KID too; success: leakage too)."""
    subgroups: Annotated[tuple[str, ...] | None, unset("the judge's own choice", "[STR ...]")] = (
        None
    )
    """Attributes to audit by, or columns of a CSV."""
    device: str = "cpu"
    """Torch device of the encoder, the distance and the segmenter, as in cpu or cuda; a GPU is used
    only where it is named."""
    seed: int = 0
    """Seed of the bootstrap over images."""
    overwrite: Overwrite = False
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)
