"""
A zero direction is the reconstruction
======================================

Edited and plain reconstructions run through the same code, so a shift of zero gives the plain
reconstruction bit for bit, and whatever else an edit changes comes from its shift.
"""

import numpy as np
import torch

import asyrp
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.method.directions import GlobalDirection
from asyrp.storage.images import from_uint8

model = asyrp.load_model("avatars-64")
faces = from_uint8(np.stack([draw(sample_face("test", i)) for i in (10, 16)]))
inverted = asyrp.invert(model, faces, steps=20, refinements=1)

zero = asyrp.Attribute(GlobalDirection(torch.zeros(model.h_shape)), t_edit=300)
edited = asyrp.edit(model, inverted.latents, [zero], steps=20)
print("largest difference:", (edited - inverted.reconstructions).abs().max().item())
assert torch.equal(edited, inverted.reconstructions)

# %%
# A tiny shift of one channel changes the picture, if only by a little.

shift = torch.zeros(model.h_channels, 1, 1)
shift[0] = 0.1
one = asyrp.Attribute(GlobalDirection(shift), t_edit=300)
moved = asyrp.edit(model, inverted.latents, [one], steps=20)
print("largest difference:", (moved - inverted.reconstructions).abs().max().item())
assert not torch.equal(moved, inverted.reconstructions)
