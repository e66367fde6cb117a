"""
Several directions at once
==========================

Shifts of the bottleneck add up, each on its own interval. Columns: reconstruction, smiling,
glasses, both.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import asyrp
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.storage.images import contact_sheet, from_uint8, to_uint8

model = asyrp.load_model("avatars-64")
smiling = asyrp.load_direction("smiling.safetensors", model).attribute()
glasses = asyrp.load_direction("glasses.safetensors", model).attribute()
print(f"smiling acts on t = {smiling.t_start} down to {smiling.t_edit}")
print(f"glasses act on t = {glasses.t_start} down to {glasses.t_edit}")

faces = from_uint8(np.stack([draw(sample_face("test", i)) for i in (10, 21)]))
latents = asyrp.invert(model, faces, steps=20, refinements=1).latents
columns = [
    asyrp.edit(model, latents, attributes, steps=20)
    for attributes in ([], [smiling], [glasses], [smiling, glasses])
]
sheet = contact_sheet(list(torch.stack(columns, dim=1)))
plt.imshow(to_uint8(sheet[None])[0])
plt.axis("off")
plt.show()
