"""The words of the cards of photographs-64; training fills in what it measured."""

NOTE = """**Licence and use.** Learnt from photographs of CelebA (Liu et al., ICCV 2015), which are
for non-commercial research: so are these weights. No photograph is in the package. Do not use
them to identify, rank or judge people; see docs/responsible_use.md."""

TRAINED = """**Data.** {pictures:,} aligned photographs of CelebA, mirrored half of the time,
without those labelled {cleared}; validation and test pictures are not among them. It went on from
a network that had seen 81 thousand pictures of all 9,500, those with the cleared values among
them; whoever needs a network that never saw them trains one without `--begin-from`."""

BEGUN = """**Data.** The beginning alone: 81 thousand pictures of 9,500 aligned photographs of
CelebA, mirrored half of the time. Test and validation pictures are among them, so that what is
measured on these favours the network; encoder and judge saw none of them. It is still to be
trained further."""

DIFFUSION_CARD = """# photographs-64

Diffusion network of photographs of faces: a diffusers `UNet2DModel` (64 x 64 RGB, bottleneck
256 x 8 x 8, v-prediction, T = 1000, linear betas). Weights in fp16.

{data}

**Recipe.** {steps:,} steps of {batch} ({seen:,} pictures seen after the beginning): v-prediction
loss, its weight on x0 capped at a signal-to-noise ratio of {snr_cap:g}, timesteps stratified over
the batch, AdamW {rate:g}, average of the weights ({ema:g}). Machine: {machine}, torch {torch}.

**Quality.** Inversion and reconstruction of {count} test photographs in 40 steps, one refinement:
mean squared error {mse:.5f}, worst {worst:.5f}, of images in [-1, 1].

**Where the meaning is.** Area under the curve of linear probes on h of {probed} noised photographs,
half of them held out:

{table}

{note}
"""

ENCODER_CARD = """# photographs-64-clip

Text-image encoder of photographs-64: reads {words} words and their synonyms.

**Data.** {pictures:,} aligned photographs of CelebA with their attributes; the judge saw none of
them.

**Recipe.** {steps:,} steps of {batch} pictures: a sigmoid loss over captions (Zhai et al. 2023) and
a binary loss of each attribute's pair of texts, on blurred and noisy pictures; in the last {robust}
steps on pictures moved against its answers ({attacks} steps of projected gradient, L2 radius 0 to
{radius}).

**Quality** on {unseen:,} test photographs: area under the curve of the cosine with the texts'
direction; {quality}.

{table}

{note}
"""

JUDGE_CARD = """# Judge of photographs-64

A convolutional net with batch normalisation, one log-odds an attribute. An attribute is judged
where the area under the curve on validation pictures is at least 0.9: {trusted}.

**Data.** {pictures:,} aligned photographs of CelebA that no other scorer saw; thresholds from
{validation} validation photographs, where both errors are equal.

**Recipe.** {steps:,} steps of {batch}: binary cross-entropy on pictures that are mirrored, turned,
shifted, blurred and made noisy a little.

**Quality** on the validation photographs:

{table}

{note}
"""
