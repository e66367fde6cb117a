"""The networks of `asyrp evaluate`; its judge is a domain's, none, or questions in a file."""

from pathlib import Path

from asyrp.commands.common import check_device
from asyrp.domains.base import source_of
from asyrp.errors import AsyrpError
from asyrp.method.text_direction import new_text_direction
from asyrp.metrics.features import EncoderFeatures, FeatureNetwork
from asyrp.metrics.table import Scorers
from asyrp.metrics.zero_shot import Questions, ZeroShotJudge, read_questions
from asyrp.options.evaluate import Evaluate
from asyrp.scorers.arcface import load_identity
from asyrp.scorers.load import load_distance, load_encoder, same_encoder
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision

NONE = "none"
EVERY = ("s_dir", "success", "lpips", "sc", "identity", "fid", "diversity")


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


def scorers_of(options: Evaluate, questions: Questions | None = None) -> Scorers:
    """The networks that the asked metrics need."""
    wanted, device = set(EVERY) - set(options.leave_out), check_device(options.device)
    unjudged = options.features == "judge" and options.judge == NONE
    lender = "encoder" if unjudged else options.features
    guided = bool(options.target) and "s_dir" in wanted
    encoder = distance = None
    features: FeatureNetwork | None = None
    if guided or (lender == "encoder" and "fid" in wanted):
        encoder = load_encoder(options.guides.encoder, device)
    if wanted & {"lpips", "diversity"}:
        distance = load_distance(options.guides.distance, device)
    if lender == "encoder":
        features = EncoderFeatures(encoder) if encoder else None
    elif lender != "judge" and "fid" in wanted:
        features = load_vision(lender, device)
    own = judging(options.judge, options.device, questions)
    segmenter, identity = own.segmenter, own.identity
    if options.segmenter:
        segmenter = load_segmenter(options.segmenter, options.device)
    if options.identity:
        identity = load_identity(Path(options.identity))
    texts = options.source, options.target
    return Scorers(
        guide=new_text_direction(encoder, *texts) if encoder and guided else None,
        distance=distance if "lpips" in wanted else None,
        spread=distance if "diversity" in wanted else None,
        judge=own.judge if "success" in wanted else None,
        segmenter=segmenter if "sc" in wanted else None,
        features=(own.features if lender == "judge" else features) if "fid" in wanted else None,
        identity=identity if "identity" in wanted else None,
    )


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
