"""Every method by name."""

from collections.abc import Mapping
from functools import partial

from asyrp.editing_methods.asyrp import asyrp, asyrp_anew, averaged, epsilon_edit, symmetric_edit
from asyrp.editing_methods.base import EditingMethod, Method
from asyrp.editing_methods.classifier_guidance import classified, classified_anew
from asyrp.editing_methods.diffusionclip import diffusionclip
from asyrp.editing_methods.finders import FINDER_METHODS
from asyrp.editing_methods.image_guidance import mixed, painted
from asyrp.editing_methods.keeping_the_rest import guarded
from asyrp.editing_methods.label_swap import swapped
from asyrp.lookup import look_up

DRAWN, LABELS, CONDITION = (frozenset({x}) for x in ("rendered_target", "labels", "condition"))
SECOND, PLACED = (frozenset({x}) for x in ("second task", "region"))
BEFORE = "f_t, trained before"
ALL_BELOW = "no t_edit: trained at all timesteps below t_start, in whole epochs: some more steps"
LABELLED = "labels of as many images, unseen values among them; one for all tasks"
STROKES = "strokes of the drawn target for every image; DDPM noise at every step, so no boosting"
ANSWER = "the condition of the answer"
TEXTS, PLACE = "the other edits' texts to keep", "a polygon where the value shows"
MEAN, GLOBAL = (partial(averaged, name=name) for name in ("mean", "global"))
KEEP, REGION = (partial(guarded, keep=keep) for keep in (True, False))


def _by_name(*methods: Method) -> dict[str, EditingMethod]:
    return {method.name: method for method in methods}


METHODS: Mapping[str, EditingMethod] = _by_name(
    Method("asyrp", "Asyrp, f_t", asyrp, after="direction", anew=asyrp_anew),
    Method("mean", "Asyrp, one dh a timestep", MEAN, after="direction", given=BEFORE),
    Method("global", "Asyrp, one dh", GLOBAL, after="direction", given=BEFORE),
    Method("symmetric", "symmetric edit", symmetric_edit, after="direction", given=BEFORE),
    Method("epsilon", "epsilon space", epsilon_edit, rate=1e-2),
    # the paper's rate, 8e-6, is for a network of 114 million weights
    Method("diffusionclip", "DiffusionCLIP", diffusionclip, given=ALL_BELOW, rate=1e-4),
    Method(
        "classifier",
        "classifier guidance",
        classified,
        LABELS,
        "classifier",
        LABELLED,
        rate=2e-3,
        anew=classified_anew,
    ),
    Method("sdedit", "SDEdit", painted, DRAWN, given=f"{STROKES}; noised, not inverted"),
    Method("ilvr", "ILVR", mixed, DRAWN, given=STROKES),
    Method("swap", "DDIM, condition swapped", swapped, CONDITION, given=ANSWER),
)
GUARDED: Mapping[str, EditingMethod] = _by_name(
    Method("keep", "f_t, texts to keep", KEEP, SECOND, "direction", TEXTS),
    Method("region", "f_t, a region", REGION, PLACED, "direction", PLACE),
)
"""What keeps the rest of a picture, beside plain f_t (`--keep`, `--region`)."""


def method_of(name: str) -> EditingMethod:
    """A method by name, or one of yours as MODULE:NAME; AsyrpError for any other."""
    return look_up(name, {**METHODS, **GUARDED, **FINDER_METHODS}, "method")
