"""
Edit faces
==========

Invert faces to noise, come back with a direction, look at the result. Rows: originals,
reconstructions, edits.
"""

import matplotlib.pyplot as plt
import numpy as np

import asyrp
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.storage.images import contact_sheet, from_uint8, to_uint8

model = asyrp.load_model("avatars-64")
faces = from_uint8(np.stack([draw(sample_face("test", i)) for i in (10, 15, 16, 20)]))
inverted = asyrp.invert(model, faces, steps=20, refinements=1)
print("reconstruction error of each face:", inverted.errors.numpy().round(5))

# %%
# A direction file knows its interval, its strength and where boosting begins.

smiling = asyrp.load_direction("smiling.safetensors", model)
edited = asyrp.edit(
    model, inverted.latents, [smiling.attribute()], steps=20, t_boost=smiling.card.t_boost
)
sheet = contact_sheet([faces, inverted.reconstructions, edited])
plt.imshow(to_uint8(sheet[None])[0])
plt.axis("off")
plt.show()
