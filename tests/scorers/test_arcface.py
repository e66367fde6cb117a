"""Identity through a tiny ONNX network whose embedding is the mean colour of what it sees."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asyrp.errors import AsyrpError, MissingExtra
from asyrp.metrics.features import FeatureNetwork, features_of, identity_similarity
from asyrp.scorers.arcface import cropped, load_identity
from conftest import noise

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def save_network(path: Path, side: int = 112) -> Path:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["face"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    faces = helper.make_tensor_value_info("face", kind, [None, 3, side, side])
    rows = helper.make_tensor_value_info("embedding", kind, [None, 3])
    graph = helper.make_graph(nodes, "mean colour", [faces], [rows])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("identity") / "mean_colour.onnx")


def plain(red: float, green: float, blue: float, side: int = 64) -> Tensor:
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, side, side)


def similarity(network: FeatureNetwork, a: Tensor, b: Tensor) -> Tensor:
    return torch.from_numpy(identity_similarity(features_of(network, a), features_of(network, b)))


def test_measures_identity(network: Path) -> None:
    arcface: FeatureNetwork = load_identity(network)
    a = torch.cat([plain(1, 0, 0), plain(1, 0, 0), plain(1, 1, 0), plain(0.2, 0.1, 0)])
    b = torch.cat([plain(0, 1, 0), plain(-1, 0, 0), plain(1, 0, 0), plain(0.4, 0.2, 0)])
    wanted = torch.tensor([0.0, -1.0, 0.5**0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(similarity(arcface, a, b), wanted, atol=1e-5, rtol=0)
    assert arcface.name == "mean_colour"


def test_each_face_is_embedded_alone_and_with_unit_norm(network: Path) -> None:
    arcface = load_identity(network)
    faces = noise(3, 3, 80, 60)
    together = arcface(faces)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    for i in range(3):
        torch.testing.assert_close(arcface(faces[i : i + 1])[0], together[i])


def test_only_the_crop_counts(network: Path) -> None:
    arcface = load_identity(network)
    face = plain(0.5, -0.5, 0.1, 256)
    framed = torch.ones(1, 3, 256, 256)
    framed[..., 35:223, 32:220] = face[..., 35:223, 32:220]
    torch.testing.assert_close(arcface(framed), arcface(face))
    assert cropped(face).shape == (1, 3, 112, 112)
    torch.testing.assert_close(cropped(framed), face[..., :112, :112])


def test_refusals_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    save_network(tmp_path / "wide.onnx", 160)
    for name, message in {
        "absent.onnx": "needed an ONNX file",
        "broken.onnx": "is no ONNX network",
        "wide.onnx": r"needed a network of \(b, 3, 112, 112\)",
    }.items():
        with pytest.raises(AsyrpError, match=message) as got:
            load_identity(tmp_path / name)
        assert "\n" not in str(got.value)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'asyrp\[identity\]'"):
        load_identity(tmp_path / "wide.onnx")
