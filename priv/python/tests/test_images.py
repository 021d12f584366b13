"""The image example: a real model on real files, and files that are none."""

import importlib.util
import json
import os
import pickle

import pytest
from support import make_call, read_all

from snakepit_bridge import InvalidArguments
from snakepit_bridge._entry import Entry
from snakepit_bridge._registry import Handler
from snakepit_bridge._sessions import Sessions
from snakepit_bridge.examples import _model
from snakepit_bridge.examples.images import batch_inference, digits

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None or importlib.util.find_spec("PIL") is None,
    reason="needs the examples' packages: scripts/fetch-example-data",
)

ENTRY = Entry(Handler("batch_inference", "stream", batch_inference), Sessions())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return digits(str(tmp_path_factory.mktemp("digits")))


def infer(**args):
    """The chunks and the final chunk."""
    return read_all(ENTRY.invoke(args, make_call()))


def test_the_model_has_learned_to_read_digits(made):
    chunks, final = infer(model_path=made["model_path"], image_paths=made["image_paths"])
    right = [chunk["prediction"] == label for chunk, label in zip(chunks, made["labels"])]
    assert sum(right) / len(right) > 0.95
    assert final == {"total_processed": 360, "failed": 0, "batch_complete": True}
    assert [chunk["image_index"] for chunk in chunks] == list(range(360))
    assert chunks[0]["item"] == chunks[0]["image_path"] == made["image_paths"][0]


def test_those_it_is_sure_of_it_reads_better(made):
    chunks, _ = infer(model_path=made["model_path"], batch_items=made["image_paths"])
    sure = [
        chunk["prediction"] == label
        for chunk, label in zip(chunks, made["labels"])
        if chunk["confidence"] > 99
    ]
    assert len(sure) > 200
    assert sum(sure) / len(sure) > 0.99
    assert all(10 <= chunk["confidence"] <= 100 for chunk in chunks)


def test_the_images_are_the_ones_of_the_data_set(made):
    from PIL import Image
    from sklearn.datasets import load_digits

    known = {tuple(pixels): label for pixels, label in zip(*load_digits(return_X_y=True))}
    for path, label in zip(made["image_paths"], made["labels"]):
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("PNG", (8, 8), "L")
            assert known[tuple(shade / 15 for shade in image.tobytes())] == label


def test_nothing_is_made_twice(made):
    paths = [made["model_path"], *made["image_paths"]]
    before = [os.stat(path).st_mtime_ns for path in paths]
    assert digits(os.path.dirname(made["model_path"])) == made
    assert [os.stat(path).st_mtime_ns for path in paths] == before


def test_an_image_of_another_size_and_in_colour_is_made_to_fit(made, tmp_path):
    from PIL import Image

    path = str(tmp_path / "large.jpg")
    with Image.open(made["image_paths"][0]) as image:
        image.convert("RGB").resize((200, 120)).save(path, quality=95)
    chunks, _ = infer(model_path=made["model_path"], batch_items=[path])
    assert chunks[0]["prediction"] == made["labels"][0]


def test_an_image_that_cannot_be_read_does_not_hold_up_the_others(made, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    paths = [str(tmp_path / "missing.png"), str(broken), made["image_paths"][0]]
    chunks, final = infer(model_path=made["model_path"], batch_items=paths)
    assert "No such file" in chunks[0]["error"]
    assert "cannot identify image file" in chunks[1]["error"]
    assert chunks[2]["prediction"] == made["labels"][0]
    assert final == {"total_processed": 3, "failed": 2, "batch_complete": True}


def test_the_paths_may_be_a_text(made):
    chunks, _ = infer(
        model_path=made["model_path"], image_paths=json.dumps(made["image_paths"][:3])
    )
    assert len(chunks) == 3


@pytest.mark.parametrize("images", ["", "x", "1", "[1]", '{"a": 1}'])
def test_another_text_is_refused(made, images):
    with pytest.raises(InvalidArguments, match="must be a list of paths, or the JSON of one"):
        infer(model_path=made["model_path"], image_paths=images)


@pytest.mark.parametrize("args", [{}, {"image_paths": [], "batch_items": []}])
def test_images_are_given_in_one_way(made, args):
    with pytest.raises(InvalidArguments, match="either as 'image_paths' or as 'batch_items'"):
        infer(model_path=made["model_path"], **args)


def test_no_images_are_a_final_chunk_only(made):
    chunks, final = infer(model_path=made["model_path"], batch_items=[])
    assert chunks == []
    assert final["total_processed"] == 0


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"a": 1})])
def test_a_file_without_a_model_is_refused(tmp_path, content):
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(InvalidArguments, match="has no model in it") as caught:
        infer(model_path=str(path), batch_items=[])
    assert caught.value.name == "model_path"


def test_a_model_is_loaded_once_until_its_file_changes(made, tmp_path):
    path = str(tmp_path / "model.pkl")
    with open(made["model_path"], "rb") as source, open(path, "wb") as target:
        target.write(source.read())
    model = _model.Model.load(path)
    assert _model.Model.load(path) is model
    os.utime(path, ns=(1, 1))
    assert _model.Model.load(path) is not model
