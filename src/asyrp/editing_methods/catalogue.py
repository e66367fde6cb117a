"""Every method by name."""

from collections.abc import Mapping

from asyrp.editing_methods.asyrp import (
    asyrp,
    epsilon_edit,
    mean_table,
    one_global,
    symmetric_edit,
)
from asyrp.editing_methods.base import EditingMethod, Method
from asyrp.editing_methods.classifier_guidance import classified
from asyrp.editing_methods.diffusionclip import diffusionclip
from asyrp.editing_methods.image_guidance import mixed, painted
from asyrp.editing_methods.label_swap import swapped
from asyrp.lookup import look_up

DRAWN, LABELS = frozenset({"rendered_target"}), frozenset({"labels"})
BEFORE, STROKES = "f_t, trained before", "strokes of the answer, for every image"

METHODS: Mapping[str, EditingMethod] = {
    method.name: method
    for method in (
        Method("asyrp", "Asyrp, f_t", asyrp, after="direction"),
        Method("mean", "Asyrp, one dh a timestep", mean_table, after="direction", given=BEFORE),
        Method("global", "Asyrp, one dh", one_global, after="direction", given=BEFORE),
        Method("symmetric", "symmetric edit", symmetric_edit, after="direction", given=BEFORE),
        Method("epsilon", "epsilon space", epsilon_edit),
        Method("diffusionclip", "DiffusionCLIP", diffusionclip),
        Method(
            "classifier",
            "classifier guidance",
            classified,
            LABELS,
            "classifier",
            "labels; one for all",
        ),
        Method("sdedit", "SDEdit", painted, DRAWN, given=STROKES),
        Method("ilvr", "ILVR", mixed, DRAWN, given=STROKES),
        Method(
            "swap",
            "DDIM, condition swapped",
            swapped,
            frozenset({"condition"}),
            given="the condition of the answer",
        ),
    )
}


def method_of(name: str) -> EditingMethod:
    """A method by name, or one of yours as MODULE:NAME.

    Raises:
        AsyrpError: nothing by that name.
    """
    return look_up(name, METHODS, "method")
