"""BDIA (Zhang et al., ECCV 2024): exact inversion by a step forwards and one backwards."""

from asyrp.method.schedule import NoiseSchedule

GAMMA = 1.0  # the paper's, where images go up and down; below 1 errors grow by 1 / gamma a step up


def weight(schedule: NoiseSchedule, p: int, t: int, s: int) -> float:
    """w of `two_step`: gamma.

    Of what was walked from p to t there are two estimates at x_t: x_t - x_p itself, and the step
    backwards, x_t - DDIM(x_t -> p). BDIA goes from x_p by their mean, with weights 1 - gamma and
    gamma, and on by the step to s:

        x_s = DDIM(x_t -> s) + gamma (x_p - DDIM(x_t -> p)).

    With gamma = 1 it is the leapfrog scheme, which neither damps nor amplifies what it is off.
    """
    return GAMMA
