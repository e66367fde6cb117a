"""The networks of `asyrp evaluate`."""

from pathlib import Path

from asyrp.commands.common import check_device
from asyrp.commands.judges import NONE
from asyrp.domains.base import source_of
from asyrp.method.text_direction import new_text_direction
from asyrp.metrics.features import EncoderFeatures, FeatureNetwork
from asyrp.metrics.table import Scorers
from asyrp.metrics.zero_shot import Questions, ZeroShotJudge
from asyrp.options.evaluate import Evaluate
from asyrp.scorers.arcface import load_identity
from asyrp.scorers.load import load_distance, load_encoder
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision

EVERY = ("s_dir", "success", "lpips", "sc", "identity", "fid", "diversity")


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
    own = _judging(options, questions)
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


def _judging(options: Evaluate, questions: Questions | None) -> Scorers:
    """The networks of a domain; or a judge of the user's, whose encoder's features stand for its.

    questions: of a judge of the user's.
    """
    if questions is not None:
        encoder = load_encoder(questions.encoder, options.device)
        return Scorers(judge=ZeroShotJudge(encoder, questions), features=EncoderFeatures(encoder))
    if options.judge == NONE:
        return Scorers()
    return source_of(options.judge).scorers(options.device)
