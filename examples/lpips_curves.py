"""
LPIPS curves
============

How the three phases are found: the distance between an image and P_t says when its content is
fixed, the distance between the image and x_t when it is still noisy. :doc:`/concepts` explains
the cuts.
"""

import matplotlib.pyplot as plt
import numpy as np

import asyrp
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.finders.prepare import curves_of
from asyrp.method.editing_interval import find_intervals
from asyrp.method.text_direction import new_text_direction
from asyrp.scorers.load import load_distance, load_encoder
from asyrp.storage.images import from_uint8

model, distance = asyrp.load_model("avatars-64"), load_distance("st-lpips-alex")
faces = from_uint8(np.stack([draw(sample_face("validation", i)) for i in range(6)]))
inverted = asyrp.invert(model, faces, steps=20, refinements=1)
curves = curves_of(model, inverted.reconstructions, inverted.latents, distance, steps=20)

guide = new_text_direction(load_encoder("avatars-64-clip"), "face", "smiling face")
found = find_intervals(curves, guide.cosine, distance.thresholds)
print(f"edit from t = {found.t_start} to {found.t_edit.t}, boost below {found.t_boost.t}")

plt.plot(curves.times, curves.x0.mean(1), label="distance of P_t")
plt.plot(curves.times, curves.xt.mean(1), label="distance of x_t")
plt.axvspan(found.t_edit.t, found.t_start, alpha=0.2, label="editing interval")
plt.xlabel("timestep t")
plt.ylabel("ST-LPIPS to the image")
plt.legend()
plt.show()
