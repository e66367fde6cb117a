"""
Strengths, negative ones too
============================

The shift dh may be scaled: half of it is a gentler edit, a negative one goes the other way. The
card's strength is the dose that ``--strength 1`` stands for; here it is multiplied by -1 to 1.5.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import asyrp
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.storage.images import contact_sheet, from_uint8, to_uint8

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)

model = asyrp.load_model("avatars-64")
smiling = asyrp.load_direction("smiling.safetensors", model)
faces = from_uint8(np.stack([draw(sample_face("test", i)) for i in (10, 16)]))
latents = asyrp.invert(model, faces, steps=20, refinements=1).latents

columns = []
for strength in STRENGTHS:
    attribute = smiling.attribute(strength * smiling.card.strength)
    columns.append(asyrp.edit(model, latents, [attribute], steps=20))
strip = contact_sheet(list(torch.stack(columns, dim=1)))

plt.figure(figsize=(8, 3))
plt.imshow(to_uint8(strip[None])[0])
plt.xticks([34 + 68 * i for i in range(len(STRENGTHS))], STRENGTHS)
plt.yticks([])
plt.xlabel("strength")
plt.show()
