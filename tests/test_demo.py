"""The notebook launch/demo.ipynb runs from its first cell to its last, and shows what it says."""

import base64
import io
import os
import queue
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("igl")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("ipywidgets")
import nbformat  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "launch" / "demo.ipynb"
# In place of the installation, and of a training that deserves the name.
REPLACED = {
    "install": f"import sys\nsys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]",
    # The objects and steps of test_main.py, whose compiled programs are in the cache by then.
    "parameters": """
import configs.smoke, tiny
def get_config():
    config = tiny.tiny_config()
    config.data.classes = ("bed", "chair", "monitor", "sofa", "toilet", "table")
    config.train.batch_size = 4
    config.model.occupancy, config.loss.swap_codes = True, False
    return config
configs.smoke.get_config = get_config
MODEL, CONFIG = "", "smoke"
OBJECTS, STEPS = 30, 20
""",
}
# What a person does to the widgets: turns, chooses a bad file, chooses a good one.
APPENDED = {
    "turned": """
import time
seconds = []
for degrees in range(0, 60, 10):
    began = time.process_time()
    show("sofa", "x", degrees)
    seconds.append(time.process_time() - began)
print("median", np.median(seconds))
""",
    "bad": """
import contextlib
def choose(name, content):
    upload.set_state({"value": [{"name": name, "type": "", "size": len(content),
                                 "content": memoryview(content), "last_modified": 0}]})
area, result = result, contextlib.nullcontext()
result.clear_output = lambda wait: None
choose("bad.off", b"OFF 3 1 0 0")
""",
    "good": """
result = area
choose("mine.obj", turned("sofa", np.eye(3)).export(file_type="obj").encode())
""",
}


class _Client(nbclient.NotebookClient):
    """Looks for a cell's reply every second.

    What a widget sends meanwhile on the same socket can swallow the news that the reply is there;
    nbclient would look again only when the cell's whole time has passed.
    """

    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        get_message = client.shell_channel.get_msg

        async def look_again(timeout):
            end = time.monotonic() + timeout
            while True:
                try:
                    return await get_message(timeout=min(1, max(0, end - time.monotonic())))
                except queue.Empty:
                    if time.monotonic() >= end:
                        raise

        client.shell_channel.get_msg = look_again
        return client


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The executed notebook, its cells by id."""
    folder = tmp_path_factory.mktemp("demo")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = REPLACED.get(cell.id, cell.source)
    for name, source in APPENDED.items():
        notebook.cells.append(nbformat.v4.new_code_cell(source, id=name))
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "HOME": str(folder),  # prepared data are kept below it
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    client = _Client(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook


def _outputs(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name).outputs


def _text(notebook, name):
    return "".join(o.text for o in _outputs(notebook, name) if o.output_type == "stream")


def _pictures(outputs):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))))
        for output in outputs
        if "image/png" in output.get("data", {})
    ]


def _widget_outputs(notebook):
    """What stands in the output areas of widgets, in the end."""
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    return [
        output
        for state in states.values()
        if state["model_name"] == "OutputModel"
        for output in state["state"]["outputs"]
    ]


def test_it_is_committed_without_outputs_and_with_all_that_the_test_replaces():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell.id
    assert REPLACED.keys() <= {cell.id for cell in notebook.cells}


def test_opened_in_a_checkout_it_installs_that(tmp_path):
    """Jupyter starts it in its own folder."""
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "demo.ipynb").touch()
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    magic = re.compile(r"^( *)[!%].*", re.MULTILINE)  # clones, enters, installs
    python = magic.sub(r"\1pass", cells["install"])
    for folder in (tmp_path, tmp_path / "launch"):
        code = f"import os\nos.chdir({str(folder)!r})\n{python}\nprint(os.getcwd())"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert shown.stdout.strip() == str(tmp_path), shown.stderr


def test_training_says_how_far_it_is_and_nothing_else(notebook):
    assert "rotdis 0." in _text(notebook, "model") and "16^3 voxels" in _text(notebook, "model")
    for line in _text(notebook, "model").splitlines():
        assert re.match(r"prepare|train|  (skipped|quirks|duplicates): |rotdis ", line), line


def test_it_shows_eight_views_of_four_objects(notebook):
    (sheet,) = _pictures(_outputs(notebook, "pictures"))
    assert sheet.shape[1] > 8 * 128 and sheet.shape[0] > 3 * 128
    seen = sheet[-3 * 128 : -2 * 128]
    assert (seen < 200).any(axis=(0, 2)).mean() > 0.4  # objects in every column


def test_it_measures_the_poses(notebook):
    errors = [float(line.split()[-1]) for line in _text(notebook, "errors").splitlines()]
    assert len(errors) == 4 and all(0 <= error <= 180 for error in errors)


def test_the_slider_turns_the_shape_without_compiling_anew(notebook):
    assert any("widget" in kind for o in _outputs(notebook, "slider") for kind in o["data"])
    shown = [*_pictures(_widget_outputs(notebook)), *_pictures(_outputs(notebook, "turned"))]
    assert sum(picture.shape == (240, 240, 3) for picture in shown) == 1 + 6
    assert float(_text(notebook, "turned").split()[-1]) < 0.5  # 0.1 of a core, at 32^3


def test_a_bad_file_gets_a_message_and_a_good_one_its_pose(notebook):
    assert re.fullmatch(r"\S*bad\.off: .+", _text(notebook, "bad").strip())
    outputs = _widget_outputs(notebook)
    text = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    pose = np.array(re.findall(r"-?\d+\.\d*", text.split("]]")[0]), float).reshape(4, 4)
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=0.01), text
    assert np.allclose(pose[3], [0, 0, 0, 1])
    assert any(picture.shape[1] >= 3 * 160 for picture in _pictures(outputs))
