"""
A direction type of your own
============================

A direction is called as ``(h, emb, t) -> dh``. Rows: all of dh, its upper half, its lower half.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
from torch import Tensor

import asyrp
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.storage.images import contact_sheet, from_uint8, to_uint8


@dataclass(frozen=True)
class Rows:
    direction: Callable[..., Tensor]
    rows: slice

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        dh = h.new_zeros(h.shape)
        dh[:, :, self.rows] = self.direction(h, emb, t)[:, :, self.rows]
        return dh


model = asyrp.load_model("avatars-64")
whole = asyrp.load_direction("smiling.safetensors", model).attribute()
parts = [replace(whole, direction=Rows(whole.direction, half)) for half in (slice(4), slice(4, 8))]
faces = from_uint8(np.stack([draw(sample_face("test", i)) for i in (10, 16, 20)]))
latents = asyrp.invert(model, faces, steps=20, refinements=1).latents
sheet = contact_sheet([asyrp.edit(model, latents, [a], steps=20) for a in (whole, *parts)])
plt.imshow(to_uint8(sheet[None])[0])
plt.show()
