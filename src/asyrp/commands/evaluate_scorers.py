"""The networks of `asyrp evaluate`."""

from pathlib import Path

from asyrp.commands.common import check_device
from asyrp.commands.judges import NONE
from asyrp.domains.base import source_of
from asyrp.method.text_direction import new_text_direction
from asyrp.metrics.features import EncoderFeatures
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
    wanted = set(EVERY) - set(options.leave_out)
    scorers = _guiding(options, wanted)
    if questions is not None:
        scorers = _asked(scorers, options, questions)
    elif options.judge != NONE:
        own = source_of(options.judge).scorers(options.device)
        scorers = _judged(scorers, own, options.features == "judge")
    if options.segmenter:
        scorers = scorers._replace(segmenter=load_segmenter(options.segmenter, options.device))
    if options.identity:
        scorers = scorers._replace(identity=load_identity(Path(options.identity)))
    return scorers._replace(
        judge=scorers.judge if "success" in wanted else None,
        segmenter=scorers.segmenter if "sc" in wanted else None,
        features=scorers.features if "fid" in wanted else None,
        identity=scorers.identity if "identity" in wanted else None,
    )


def _guiding(options: Evaluate, wanted: set[str]) -> Scorers:
    """The encoder, the distance and the feature network, where they are asked."""
    guides, device = options.guides, check_device(options.device)
    guided = bool(options.target) and "s_dir" in wanted
    compared = "fid" in wanted and (options.judge == NONE or options.features != "judge")
    own = compared and options.features not in ("judge", "encoder")
    encoder = load_encoder(guides.encoder, device) if guided or (compared and not own) else None
    distance = load_distance(guides.distance, device) if wanted & {"lpips", "diversity"} else None
    features = load_vision(options.features, device) if own else None
    return Scorers(
        guide=new_text_direction(encoder, options.source, options.target)
        if encoder and guided
        else None,
        distance=distance if "lpips" in wanted else None,
        spread=distance if "diversity" in wanted else None,
        features=EncoderFeatures(encoder) if encoder and compared and not own else features,
    )


def _asked(scorers: Scorers, options: Evaluate, questions: Questions) -> Scorers:
    """A judge of the user's, whose encoder's features stand for the judge's."""
    encoder = load_encoder(questions.encoder, options.device)
    features = EncoderFeatures(encoder) if options.features == "judge" else scorers.features
    return scorers._replace(judge=ZeroShotJudge(encoder, questions), features=features)


def _judged(scorers: Scorers, own: Scorers, features: bool) -> Scorers:
    """The networks of a domain in their places."""
    return scorers._replace(
        judge=own.judge,
        segmenter=own.segmenter,
        features=own.features if features else scorers.features,
        identity=own.identity,
    )
