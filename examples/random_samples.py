"""
Edit random samples
===================

No picture is needed: noise x_T drawn from a seed leads to a sample, and the same noise with
a direction leads to the edited sample. Each sample has a generator of its own, so that the third
sample of a seed is the same whatever the batch.
"""

import matplotlib.pyplot as plt

import asyrp
from asyrp.storage.images import contact_sheet, to_uint8

model = asyrp.load_model("avatars-64")
smiling = asyrp.load_direction("smiling.safetensors", model)

noise = asyrp.random_latents(model, count=6, seed=7)
samples = asyrp.edit(model, noise, steps=20)
edited = asyrp.edit(
    model, noise, [smiling.attribute()], steps=20, t_boost=smiling.card.t_boost, seed=7
)
plt.figure(figsize=(8, 3))
plt.imshow(to_uint8(contact_sheet([samples, edited])[None])[0])
plt.axis("off")
plt.show()
