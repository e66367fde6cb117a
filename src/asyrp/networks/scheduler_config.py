"""A scheduler's config of diffusers, of which the noise schedule and the prediction are obeyed.

The steps of a scheduler are never taken here, so what shapes them alone is named in a warning; what
would mean another process (flow matching, sigmas without betas) is refused.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from asyrp.errors import AsyrpError
from asyrp.method.hspace import Prediction
from asyrp.method.schedule import NoiseSchedule, from_config
from asyrp.storage.config_fields import defaults_of, differs, name_passed_over, refuse_others, said


class Noise(NamedTuple):
    """What a network was trained on: its schedule, and what its output means."""

    schedule: NoiseSchedule
    prediction: Prediction


class Betas(NamedTuple):
    """What a class means by a config that does not say."""

    beta_start: float = 1e-4
    beta_end: float = 0.02
    beta_schedule: str = "linear"


_STABLE = Betas(0.00085, 0.012)
_DISTILLED = Betas(0.00085, 0.012, "scaled_linear")
_USUAL = """
DDIM DDIMInverse DDIMParallel DDPM DDPMParallel DEISMultistep DPMSolverMultistep
DPMSolverMultistepInverse DPMSolverSinglestep EulerAncestralDiscrete EulerDiscrete LMSDiscrete PNDM
RePaint SASolver UniPCMultistep
"""
# The classes whose networks learnt q(x_t | x_0) of discrete betas (Ho et al. 2020, equation 4).
CLASSES: dict[str, Betas] = {
    f"{name}Scheduler": betas
    for names, betas in (
        (_USUAL, Betas()),
        ("DPMSolverSDE HeunDiscrete KDPM2AncestralDiscrete KDPM2Discrete", _STABLE),
        ("LCM TCD", _DISTILLED),
    )
    for name in names.split()
}
# rescale_betas_zero_snr is refused with the betas
_OTHERS = ("num_train_timesteps", "trained_betas", "prediction_type", "rescale_betas_zero_snr")
OBEYED = (*Betas._fields, *_OTHERS)
# field -> the only value that is computed here
ONLY = {"timestep_type": "discrete", "use_flow_sigmas": False, "snr_shift_scale": 1.0}
WHY = {
    "timestep_type": "means a network that is told noise levels instead of timesteps; needed: "
    "discrete timesteps",
    "use_flow_sigmas": "means a network of flow matching; needed: one of discrete betas",
    "snr_shift_scale": "means another noise schedule; write its betas as trained_betas of a "
    "DDIMScheduler",
}
# field -> the value that the walk here has too, whatever the class's default
SAME: dict[str, Any] = {
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "linspace",
}


def read_scheduler(config: Mapping[str, Any], quiet: bool = False) -> Noise:
    """The noise schedule and prediction of a scheduler's config; the rest is named in a warning.

    Args:
        quiet: say nothing of fields that only the scheduler's own steps follow.

    Raises:
        AsyrpError: a class or a value with which a network means something else.
    """
    own, name = said(config), config.get("_class_name")
    betas = CLASSES.get(name) if isinstance(name, str) else None
    if name is None and own.keys() & {"beta_schedule", "trained_betas"}:
        betas = Betas()
    if betas is None:
        told = "a config without _class_name and beta_schedule" if name is None else f"{name!r:.80}"
        raise AsyrpError(
            "needed a scheduler of discrete betas, such as DDPMScheduler or DDIMScheduler; got "
            f"{told}, which says nothing of betas; networks of flow matching, EDM, score-SDE or "
            "consistency have no such noise, and others need their betas as trained_betas of a "
            "DDIMScheduler"
        )
    refuse_others(config, ONLY, WHY)
    if not quiet:
        _tell_passed_over(own, str(name or "the scheduler"))
    noise = from_config({**betas._asdict(), **own})
    return Noise(noise, own.get("prediction_type", "epsilon"))


def _tell_passed_over(own: Mapping[str, Any], name: str) -> None:
    import diffusers

    usual = defaults_of(getattr(diffusers, name, None)) if name in CLASSES else {}
    rest = {
        field: value
        for field, value in own.items()
        if field not in (*OBEYED, *ONLY)
        and all(differs(value, kept.get(field, ...)) for kept in (SAME, usual))
    }
    if CLASSES.get(name) is _DISTILLED:
        rest["_class_name"] = name  # of a network that was distilled into few steps
    name_passed_over(rest, name, "the walk here takes steps of its own (--steps, --solver)")
