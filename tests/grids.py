"""The grids of diffusers' schedulers, beside the paper's."""

from asyrp.method.schedule import Timesteps, check_steps, pairs


def leading_grid(steps: int = 50, length: int = 1000, offset: int = 0) -> Timesteps:
    """diffusers' spacing `leading`: multiples of T // n, plus `offset`."""
    check_steps(steps, length)
    return pairs([i * (length // steps) + offset for i in range(steps)])


def trailing_grid(steps: int = 50, length: int = 1000) -> Timesteps:
    """diffusers' spacing `trailing`: from T - 1 down in strides of T / n."""
    check_steps(steps, length)
    times = [round(length - i * length / steps) - 1 for i in range(steps)]
    return pairs(sorted(times))
