"""What `asyrp app` says before it has loaded anything."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from asyrp.commands.app import begin
from asyrp.commands.app_studio import studio_of
from asyrp.errors import AsyrpError
from asyrp.options import App, Network


def test_it_speaks_before_torch_and_gradio_are_loaded() -> None:
    code = (
        "import sys; import asyrp.cli; import asyrp.commands.app as app; "
        "from asyrp.options import App; app.begin(App(port=0)); "
        "assert not {'torch', 'gradio', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "loading" in done.stderr) == (0, True), done.stderr


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AsyrpError, match="needed a free port"):
            begin(App(port=taken.getsockname()[1]))
    assert capsys.readouterr().err == ""


def test_a_folder_of_directions_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AsyrpError, match="needs a folder"):
        begin(App(port=0, directions=tmp_path / "file"))


def test_a_network_of_other_pictures_is_not_guided_by_drawn_faces(tmp_path: Path) -> None:
    network = Network(model=str(tmp_path))
    with pytest.raises(AsyrpError, match="needed --encoder: clip"):
        studio_of(App(network=network))
