"""O-BELM (Wang et al., NeurIPS 2024): the two-step exact inversion of the smallest local error."""

from asyrp.method.inversion.state import noise_to_signal, signal
from asyrp.method.schedule import NoiseSchedule


def weight(schedule: NoiseSchedule, p: int, t: int, s: int) -> float:
    """w of `two_step`: (h_s / h_p)^2 sqrt(abar_s / abar_p), h_s and h_p the steps to s and from p.

    In y = x / sqrt(abar) and sigma = sqrt((1 - abar) / abar) the flow is dy / dsigma = eps. Around
    t, with h_s = sigma_t - sigma_s and h_p = sigma_p - sigma_t,

        y_s = y_t - h_s eps + h_s^2 eps' / 2 - ...      (DDIM has the first two terms)
        y_p = y_t + h_p eps + h_p^2 eps' / 2 + ...

    so (h_s / h_p)^2 times what DDIM lacks on the way up is what it lacks on the way down, but for
    terms of third order. Any other weight leaves one of second order. Written out,
    y_s = (h_s / h_p)^2 y_p + (1 - (h_s / h_p)^2) y_t - h_s (h_s + h_p) / h_p eps, the paper's
    proposition on the optimal coefficients.

    Steps shrink downward, so w lets errors die there (each by (h_s / h_p)^2 in y) and grow as much
    on the way up; both are undone by the other way.
    """
    sigma_p, sigma_t, sigma_s = (noise_to_signal(schedule, u) for u in (p, t, s))
    ratio = (sigma_t - sigma_s) / (sigma_p - sigma_t)
    return ratio**2 * signal(schedule, s) / signal(schedule, p)
