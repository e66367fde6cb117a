"""The shipped encoder of avatars-64: what it names, where its directions point, what it refuses."""

import numpy as np
import pytest
import torch

pytest.importorskip("python_avatars")
pytest.importorskip("resvg_py")

from asyrp.domains.avatars import measure_encoder as measure
from asyrp.domains.avatars import train_encoder
from asyrp.domains.avatars.avatars import FACTORS, sample_face
from asyrp.domains.avatars.captions import caption, pair, queries
from asyrp.domains.avatars.pictures import labels, pictures
from asyrp.domains.avatars.train_encoder import matches
from asyrp.errors import AsyrpError
from asyrp.scorers.word_encoder import (
    WordEncoder,
    load_encoder,
    save_encoder,
    shipped_encoder,
    split_words,
)


@pytest.fixture(scope="module")
def encoder() -> WordEncoder:
    return load_encoder(shipped_encoder("avatars"))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    drawn = pictures("test", 60, None, measure.TEST_UNSEEN, workers=1)
    return measure.from_uint8(drawn)


def test_names_the_values_of_fresh_faces(encoder, images):
    scores = measure.zero_shot(encoder, images)
    assert set(scores) == set(FACTORS)
    assert min(scores.values()) >= 0.9, scores
    assert np.mean(list(scores.values())) >= 0.97, scores


def test_names_them_from_blurred_pictures(encoder, images):
    scores = measure.zero_shot(encoder, measure.soften(images))
    assert np.mean(list(scores.values())) >= 0.93, scores


def test_directions_of_exact_swaps(encoder):
    cosines = measure.directions(encoder, [measure.swap_pictures(p, 3) for p in measure.PAIRS])
    assert float(cosines.diagonal().min()) > 0.3
    assert float(cosines.diagonal().mean()) > 0.5
    others = measure.off_factor(cosines)
    assert float(others.abs().mean()) < 0.08
    assert float(others.abs().max()) < float(cosines.diagonal().min())


def test_the_smile_gradient_is_at_the_mouth(encoder):
    before, after = measure.swap_pictures(measure.PAIRS[0], 8)
    region = measure.mouth_region((before, after))
    assert 0.005 < float(region.float().mean()) < 0.15
    assert measure.focus(encoder, before, region) > 2


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("smiling face", "a face that smiles"),
        ("Smiling, Face!", "smiling face"),
        ("a person with eyeglasses", "a person with glasses"),
        ("clean-shaven man", "clean shaven man"),
        ("person with moustaches", "person with a moustache"),
        ("person with a mustache", "person with a moustache"),
        ("zombie", "face with green skin"),
    ],
)
def test_synonyms_are_near(encoder, text, same):
    other = "person with a red shirt on a pink background"
    features = encoder.text_features([text, same, other])
    assert float(features[0] @ features[1]) > 0.7
    assert float(features[0] @ features[1]) > float(features[0] @ features[2]) + 0.2


def test_colours_are_bound_to_what_has_them(encoder, images):
    known = labels("test", len(images), measure.TEST_UNSEEN)
    shirts = known[:, list(FACTORS).index("shirt")]
    whites = [list(FACTORS[f]).index("white") for f in ("shirt", "background")]
    backgrounds = known[:, list(FACTORS).index("background")]
    one = (shirts == whites[0]) & (backgrounds != whites[1])
    other = (shirts != whites[0]) & (backgrounds == whites[1])
    texts = ["a person in a white shirt", "a person on a white background"]
    scores = encoder.image_features(images) @ encoder.text_features(texts).T
    difference = (scores[:, 0] - scores[:, 1]).numpy()
    assert difference[one].min() > difference[other].max()


def test_features_are_unit_and_differentiable(encoder):
    x = torch.rand(2, 3, 96, 80, requires_grad=True)
    features = encoder.image_features(x * 2 - 1)
    assert features.shape == (2, 128)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    (gradient,) = torch.autograd.grad(features.sum(), x)
    assert gradient.abs().sum() > 0
    assert not encoder.text_features(["face"]).requires_grad
    assert not any(p.requires_grad or p.dtype != torch.float32 for p in encoder.parameters())


def test_text_features_do_not_depend_on_the_batch(encoder):
    alone = encoder.text_features(["smiling face"])
    long = "a photo of an angry man with a beard in a red shirt on a white background"
    torch.testing.assert_close(encoder.text_features(["smiling face", long])[:1], alone)


@pytest.mark.parametrize("text", ["", "  ", "!?", "helicopter", "quantum turbine", "with a the"])
def test_texts_that_say_nothing_are_refused(encoder, text):
    with pytest.raises(AsyrpError) as caught:
        encoder.text_features(["face", text])
    assert "\n" not in str(caught.value)


def test_unknown_words_are_named_with_near_ones(encoder):
    assert encoder.unknown_words("Face with glases and helicopter") == ["glases", "helicopter"]
    with pytest.warns(UserWarning, match=r"glases, helicopter.*include glasses") as caught:
        features = encoder.text_features(["face with glases helicopter"])
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    torch.testing.assert_close(features, encoder.text_features(["face with"]))


def test_words_beyond_the_longest_text_are_named(encoder):
    with pytest.warns(UserWarning, match="zombie"):
        encoder.text_features(["face " * 32 + "zombie"])


def test_captions_are_true_and_in_the_vocabulary(encoder):
    rng = np.random.default_rng(0)
    faces = [sample_face("test", index, 0.1) for index in range(200)]
    made = [caption(face, rng) for face in faces]
    for face, (text, mentions) in zip(faces, made, strict=True):
        assert len(mentions) <= 5
        assert all(face.label(factor) == value for factor, value in mentions.items())
        assert not encoder.unknown_words(text)
        assert len(split_words(text)) <= 32
    rows = labels("test", len(faces), 0.1)
    fits = matches([c.mentions for c in made], rows)
    assert bool(fits.diagonal().all())
    wanted = [[all(f.label(k) == v for k, v in c.mentions.items()) for f in faces] for c in made]
    assert fits.tolist() == wanted


@pytest.mark.parametrize("factor", list(FACTORS))
def test_every_value_has_words(encoder, factor):
    assert list(queries(factor)) == list(FACTORS[factor])
    rng = np.random.default_rng(1)
    for value, texts in queries(factor).items():
        assert texts
        for text in [*texts, *pair(factor, value, rng)]:
            assert not encoder.unknown_words(text)


def test_weights_survive_a_file(encoder, tmp_path):
    path = tmp_path / "copy.safetensors"
    save_encoder(encoder, path)
    assert path.stat().st_size < 4_000_000
    texts = ["smiling face", "zombie"]
    again = load_encoder(path)
    assert again.vocabulary == encoder.vocabulary
    assert torch.equal(again.text_features(texts), encoder.text_features(texts))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nothing of the kind")
    for bad in (path, tmp_path / "absent.safetensors"):
        with pytest.raises(AsyrpError, match="not an encoder"):
            load_encoder(bad)


def test_training_is_repeatable(monkeypatch):
    monkeypatch.setattr(train_encoder, "BATCH", 8)
    monkeypatch.setattr(train_encoder, "PAIRS", 12)
    data = pictures("encoder", 8, None, 0.12, workers=1)
    first, second = ([s.loss for s in train_encoder.train(data, data[:6], 2)] for _ in range(2))
    assert first == second
    assert all(np.isfinite(first))
