"""Principal components of h over images: directions without labels (Haas et al. 2024)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError, need
from asyrp.finders.base import FinderData, FinderStep, FoundDirection, frozen_table
from asyrp.finders.bottlenecks import Bottlenecks, recorded
from asyrp.finders.catalogue import Pca
from asyrp.finders.matching import matched, upright
from asyrp.method.hspace import HSpaceUNet


class Components(NamedTuple):
    """Unit rows (k, d), the standard deviation of h along each, (k,), and their share of it all."""

    rows: Tensor
    spread: Tensor
    share: Tensor


def find(settings: Pca, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """The first components, each as long as one standard deviation of h along it.

    "joint" takes h of all timesteps of the interval as one vector, "timestep" each by itself and
    pairs components of neighbouring timesteps by how their scores over the images correlate.
    AsyrpError for as many components as images, or more.
    """
    components, count = settings.components, len(data.latents)
    if not 0 < components < count:
        raise AsyrpError(
            f"{count} images have at most {count - 1} components; got {components} to find; give "
            "more images, or ask for fewer"
        )
    total = count + len(data.window.grid)
    bottlenecks = yield from recorded(model, data.latents, data, total)
    joint = settings.over == "joint"
    per_time = (joint_components if joint else components_by_timestep)(bottlenecks, components)
    found = []
    for i in range(components):
        table = {t: bottlenecks.shaped(c.spread[i] * c.rows[i]) for t, c in per_time.items()}
        shares = {t: round(float(c.share[i]), 5) for t, c in per_time.items()}
        variance = next(iter(shares.values())) if joint else shares
        explains = {"variance": variance, "over": settings.over}
        found.append(FoundDirection(f"pca-{i + 1}", frozen_table(model, table), explains))
    yield FinderStep(total, total, tuple(found))


def joint_components(bottlenecks: Bottlenecks, components: int) -> dict[int, Components]:
    """The parts at each timestep of components of h over all timesteps."""
    times = bottlenecks.times
    batches = zip(*(bottlenecks.batches(t) for t in times), strict=True)
    whole = principal((torch.cat(batch, dim=1) for batch in batches), components)
    parts = whole.rows.chunk(len(times), dim=1)
    return {t: whole._replace(rows=part) for t, part in zip(times, parts, strict=True)}


def components_by_timestep(bottlenecks: Bottlenecks, components: int) -> dict[int, Components]:
    """Components at each timestep, in the order and with the signs of those at the first."""
    found: dict[int, Components] = {}
    before: Tensor | None = None
    for t in bottlenecks.times:
        own = principal(bottlenecks.batches(t), components)
        scores = scores_of(bottlenecks, t, own.rows)
        if before is not None:
            pairing = matched(before @ scores.T)
            rows = pairing.of(own.rows)
            own = Components(rows, own.spread[pairing.order], own.share[pairing.order])
            scores = pairing.of(scores)
        found[t], before = own, scores
    return found


def scores_of(bottlenecks: Bottlenecks, t: int, rows: Tensor) -> Tensor:
    """Where each image lies along each component, of unit variance, (k, n)."""
    scores = torch.cat([h @ rows.T for h in bottlenecks.batches(t)]).T
    centred = scores - scores.mean(1, keepdim=True)
    return functional.normalize(centred, dim=1)


def principal(batches: Iterator[Tensor], components: int) -> Components:
    """Incremental PCA (Ross et al. 2008) of batches (b, d), never all in memory at once."""
    library: Any = need("sklearn.decomposition", "find")
    pca = library.IncrementalPCA(n_components=components)
    waiting: list[Tensor] = []
    for batch in batches:
        waiting.append(batch)
        # the last k rows wait, since a first batch of fewer rows than components is refused
        if sum(map(len, waiting)) > 2 * components:
            ready = torch.cat(waiting)
            pca.partial_fit(ready[:-components].numpy())
            waiting = [ready[-components:]]
    pca.partial_fit(torch.cat(waiting).numpy())
    rows = upright(torch.from_numpy(np.asarray(pca.components_, np.float32)))
    spread = torch.from_numpy(np.sqrt(pca.explained_variance_).astype(np.float32))
    share = torch.from_numpy(np.asarray(pca.explained_variance_ratio_, np.float32))
    return Components(rows, spread, share)
