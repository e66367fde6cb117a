"""The networks of `asyrp evaluate`; its judge is a domain's, none, or questions in a file."""

from pathlib import Path
from typing import Any

from asyrp.commands.common import check_device
from asyrp.domains.base import source_of
from asyrp.errors import AsyrpError
from asyrp.method.text_direction import new_text_direction
from asyrp.metrics.features import EncoderFeatures
from asyrp.metrics.table import Scorers
from asyrp.metrics.zero_shot import Questions, ZeroShotJudge, read_questions
from asyrp.options.evaluate import Evaluate
from asyrp.scorers.arcface import load_identity
from asyrp.scorers.load import load_distance, load_encoder, same_encoder
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision

NONE = "none"
# what --leave-out may name -> who measures it
MEASURES = {"lpips": "distance", "diversity": "spread", "success": "judge", "sc": "segmenter"}
MEASURES |= {"fid": "features", "identity": "identity"}


def questions_of(judge: str) -> Questions | None:
    """The questions of a FILE.json; None for the judge of a domain and for none.

    Raises:
        AsyrpError: a file that makes no judge.
    """
    if Path(judge).suffix != ".json":
        return None
    if not Path(judge).is_file():
        raise AsyrpError(
            f"unknown judge {judge!r}; needed a domain, {NONE}, or a FILE.json of questions that "
            "exists"
        )
    return read_questions(Path(judge))


def scorers_of(options: Evaluate, questions: Questions | None) -> Scorers:
    """The networks that the asked metrics need."""
    out, device = set(options.leave_out), check_device(options.device)
    own, lender = judging(options.judge, device, questions), lender_of(options)
    guided = bool(options.target) and "s_dir" not in out
    encoder = distance = guide = None
    features = own.features if lender == "judge" else None
    if guided or (lender == "encoder" and "fid" not in out):
        encoder = load_encoder(options.guides.encoder, device)
    if encoder and guided:
        guide = new_text_direction(encoder, options.source, options.target)
    if not {"lpips", "diversity"} <= out:
        distance = load_distance(options.guides.distance, device)
    if lender == "encoder":
        features = EncoderFeatures(encoder) if encoder else None
    elif lender != "judge" and "fid" not in out:
        features = load_vision(lender, device)
    segmenter = load_segmenter(options.segmenter, device) if options.segmenter else own.segmenter
    identity = load_identity(Path(options.identity)) if options.identity else own.identity
    found = Scorers(guide, distance, distance, own.judge, segmenter, features, identity)
    left: dict[str, Any] = {name: None for metric, name in MEASURES.items() if metric in out}
    return found._replace(**left)


def lender_of(options: Evaluate) -> str:
    """Whose features FID and KID compare: "judge", "encoder", or the name of another network."""
    unjudged = options.features == "judge" and options.judge == NONE
    return "encoder" if unjudged else options.features


def judging(judge: str, device: str, questions: Questions | None = None) -> Scorers:
    """The networks of a domain; or a judge that asks, whose encoder's features stand for its own.

    questions: of a judge that asks; None to read them where it is a file.
    """
    asked = questions or questions_of(judge)
    if asked is not None:
        encoder = load_encoder(asked.encoder, device)
        return Scorers(judge=ZeroShotJudge(encoder, asked), features=EncoderFeatures(encoder))
    return Scorers() if judge == NONE else source_of(judge).scorers(device)


def partiality(questions: Questions, guide: str) -> str:
    """What is said where judge and guide are one network; "" where they are two."""
    if not same_encoder(questions.encoder, guide):
        return ""
    return (
        f"the judge asks {questions.encoder}, which --encoder names as the guide too; edits look "
        "good to the network that guided them, so give the judge another"
    )


def described(questions: Questions) -> str:
    """What was asked, for the notes of a table."""
    asked = "; ".join(f"{name}: {' | '.join(texts)}" for name, texts in questions.values.items())
    return (
        f"zero-shot, encoder {questions.encoder}, scale {questions.scale:g}, texts as they are "
        f"({asked})"
    )
