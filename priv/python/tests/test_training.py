"""Training in processes: the mathematics, what is saved, and that no process is left."""

import os
import signal
import sys
from contextlib import closing
from importlib.util import find_spec

import numpy as np
import pytest
from support import make_call, read_all

from snakepit_bridge import Cancelled, Context, InvalidArguments
from snakepit_bridge._sessions import Sessions
from snakepit_bridge.examples import training
from snakepit_bridge.examples._classifier import Classifier, load
from snakepit_bridge.examples._labelled import read_csv
from snakepit_bridge.examples._network import average, descend, evaluate, initial, probabilities
from snakepit_bridge.examples._processes import Processes
from snakepit_bridge.examples._train import Settings, train

needs_digits = pytest.mark.skipif(
    find_spec("sklearn") is None, reason="needs the digits: pip install scikit-learn"
)


def blobs(count=90, seed=3):
    """Points around three places, and the numbers of these."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    places = np.array([[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]])
    return places[labels] + random.normal(0, 1, (count, 2)), labels


def wait_for_nothing():
    pass


def assert_same(found, expected):
    for one, other in zip(found, expected):
        assert one == pytest.approx(other, abs=1e-12)


class Trained:
    """What a handler of a stream gives, and its final chunk."""

    def __init__(self, stream):
        self.chunks, self.final = read_all(stream)


@pytest.fixture
def ctx():
    return Context(make_call(session_id="s"), Sessions())


@pytest.fixture
def data(tmp_path):
    """A CSV file whose labels are words."""
    features, labels = blobs()
    names = np.array(["ant", "bee", "cat"])[labels]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(f"{x},{y},{name}" for (x, y), name in zip(features, names)))
    return str(path)


@pytest.mark.parametrize("sizes", [[2, 3], [2, 5, 3], [2, 4, 6, 3]])
def test_a_step_goes_along_the_slope_of_the_loss(sizes):
    features, labels = blobs(20)
    parameters = initial(sizes, 1)
    stepped, loss, right = descend(parameters, features, labels, 1.0, 20, 0)
    assert (loss, right) == pytest.approx(evaluate(parameters, features, labels))
    for place, array in enumerate(parameters):
        for index in np.ndindex(array.shape):
            losses = []
            for change in (1e-5, -1e-5):
                changed = [other.copy() for other in parameters]
                changed[place][index] += change
                losses.append(evaluate(changed, features, labels)[0] / 20)
            slope = (losses[0] - losses[1]) / 2e-5
            assert (array - stepped[place])[index] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_step_in_several_processes_is_one_step_on_all_data(count):
    features, labels = blobs(80)
    parameters = initial([2, 5, 3], 1)
    parts = [(features[n::count], labels[n::count]) for n in range(count)]
    with Processes(parts, wait_for_nothing) as processes:
        made = processes.epoch(parameters, 0.5, 80, 0)
    assert [part.rows for part in made] == [len(part[1]) for part in parts]
    mean = average([(part.rows, part.parameters) for part in made])
    expected, loss, right = descend(parameters, features, labels, 0.5, 80, 0)
    assert_same(mean, expected)
    assert sum(part.loss for part in made) == pytest.approx(loss)
    assert sum(part.right for part in made) == right
    assert all(part.memory_mb > 1 for part in made)


def test_probabilities_are_such_also_for_large_numbers():
    found = probabilities(initial([2, 3], 1), np.array([[1e6, -1e6], [0.0, 0.0]]))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_epochs_have_their_figures_and_the_loss_falls():
    classifier = Classifier({"hidden_size": 8})
    settings = Settings(epochs=5, learning_rate=0.2, decay=0.5, processes=2)
    epochs = list(train(classifier, *blobs(), settings, wait_for_nothing))
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4, 5]
    assert [epoch["learning_rate"] for epoch in epochs] == [0.2, 0.1, 0.05, 0.025, 0.0125]
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert epochs[-1]["val_acc"] > 0.9
    assert [len(epoch["memory"]["processes_mb"]) for epoch in epochs] == [2] * 5
    times = [epoch["time_elapsed"] for epoch in epochs]
    assert times == sorted(times)


def test_the_same_seeds_make_the_same_model():
    def parameters(**settings):
        classifier = Classifier({})
        list(train(classifier, *blobs(), Settings(epochs=2, **settings), wait_for_nothing))
        return classifier.parameters

    assert_same(parameters(), parameters())
    assert any((a != b).any() for a, b in zip(parameters(), parameters(seed=1)))


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


on_linux = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs /proc")


@on_linux
def test_a_training_that_is_left_leaves_no_process():
    before = children()
    epochs = train(Classifier({}), *blobs(), Settings(processes=3), wait_for_nothing)
    with closing(epochs):
        next(epochs)
        assert len(children()) == len(before) + 3
    assert children() == before


@on_linux
def test_who_waits_is_cancelled_and_leaves_no_process():
    before = children()

    def cancelled():
        raise Cancelled

    with pytest.raises(Cancelled):
        list(train(Classifier({}), *blobs(), Settings(), cancelled))
    assert children() == before


@on_linux
def test_a_process_that_is_killed_is_an_error_and_takes_the_others_along():
    before = children()
    epochs = train(Classifier({}), *blobs(), Settings(processes=3), wait_for_nothing)
    next(epochs)
    os.kill(next(pid for pid in children() if pid not in before), signal.SIGKILL)
    with pytest.raises(RuntimeError, match="training process 1 of 3 has ended with status -9"):
        next(epochs)
    assert children() == before


def test_what_is_saved_can_be_loaded_and_trained_further(data, tmp_path, ctx):
    path = str(tmp_path / "model.npz")
    config = {"epochs": 3, "learning_rate": 0.2}
    first = Trained(
        training.distributed_training(ctx, {}, config, dataset_path=data, model_path=path)
    )
    assert first.final["final_model_path"] == path
    assert first.final["total_epochs"] == 3
    best = max(chunk["val_acc"] for chunk in first.chunks)
    assert first.final["best_val_acc"] == first.final["best_val_accuracy"] == best
    assert [chunk["checkpoint_path"] for chunk in first.chunks] == [path] * 3

    classifier, facts = load(path)
    assert facts["val_acc"] == best
    assert classifier.classes.tolist() == ["ant", "bee", "cat"]
    rows = [[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]]
    answer = training.predict(ctx, rows, model_path=path)
    assert answer["predictions"] == ["ant", "bee", "cat"]
    assert all(0.5 < confidence <= 1 for confidence in answer["confidences"])

    other = str(tmp_path / "other.npz")
    more = Trained(
        training.distributed_training(
            ctx, None, config, dataset_path=data, model_path=other, resume_from=path
        )
    )
    epochs = [chunk["epoch"] for chunk in more.chunks]
    assert epochs == list(range(facts["epoch"] + 1, facts["epoch"] + 4))
    assert more.final["best_val_acc"] >= best
    assert more.chunks[0]["train_loss"] < first.chunks[0]["train_loss"]
    assert sorted(os.listdir(tmp_path)) == ["data.csv", "model.npz", "other.npz"]


def test_a_training_that_is_left_has_its_checkpoint(data, tmp_path, ctx):
    path = str(tmp_path / "model.npz")
    stream = training.distributed_training(
        ctx, {}, {"epochs": 1_000}, dataset_path=data, model_path=path
    )
    with closing(stream):
        chunk = next(stream)
    assert load(path)[1] == {"epoch": 1, "val_acc": chunk["val_acc"]}


def test_a_file_that_cannot_be_saved_leaves_nothing(tmp_path, monkeypatch):
    classifier = Classifier({})
    classifier.fit_to(*blobs())

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        classifier.save(str(tmp_path / "model.npz"))
    assert os.listdir(tmp_path) == []


def test_a_session_has_a_model_that_is_trained_and_asked(ctx):
    features, labels = blobs()
    rows, classes = features.tolist(), labels.tolist()
    with pytest.raises(InvalidArguments, match="call 'initialize_model' in this session first"):
        next(training.train_model(ctx, rows, classes))
    made = training.initialize_model(ctx, architecture="softmax")
    assert (made["initialized"], made["architecture"]) == (True, "softmax")
    with pytest.raises(InvalidArguments, match="not trained yet"):
        training.predict(ctx, rows)

    trained = Trained(training.train_model(ctx, rows, classes, epochs=2))
    assert [chunk["epoch"] for chunk in trained.chunks] == [1, 2]
    assert all(chunk["loss"] == chunk["train_loss"] for chunk in trained.chunks)
    further = Trained(training.train_model(ctx, rows, classes, epochs=20))
    assert further.chunks[0]["loss"] < trained.chunks[0]["loss"]
    predictions = training.predict(ctx, rows)["predictions"]
    assert sum(a == b for a, b in zip(predictions, classes)) > 80

    with pytest.raises(InvalidArguments, match="2 numbers in each row"):
        training.predict(ctx, [[1.0]])
    with pytest.raises(InvalidArguments, match="another shape or other labels"):
        next(training.train_model(ctx, rows, ["x"] * 90))


@needs_digits
def test_digits_are_read(ctx, tmp_path):
    config = {"epochs": 6, "processes": 2}
    path = str(tmp_path / "digits.npz")
    trained = Trained(training.distributed_training(ctx, {}, config, model_path=path))
    assert trained.final["best_val_accuracy"] > 0.93


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "transformer"}, "architectures are mlp and softmax, not 'transformer'"),
        ({"size": 1}, "'size' is none of"),
        ({"layers": 0}, "'layers' is a whole number from 1 to 8, not 0"),
        ({"hidden_size": 1.5}, "'hidden_size' is a whole number"),
    ],
)
def test_models_that_are_none_are_refused(config, message):
    with pytest.raises(InvalidArguments, match=message):
        Classifier(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"epoch": 1}, "'epoch' is none of epochs"),
        ({"epochs": 1.5}, "'epochs' is a whole number"),
        ({"learning_rate": "0.1"}, "'learning_rate' is a number"),
        ({"batch_size": 0}, "'batch_size' must be positive"),
        ({"processes": 33}, "there are 32 processes at most"),
        ({"validation_share": 1}, "between 0 and 1"),
    ],
)
def test_settings_that_are_none_are_refused(config, message):
    with pytest.raises(InvalidArguments, match=message):
        Settings.of(config)


@pytest.mark.parametrize("text", ["1,2,a\n1,b\n", "x,y,z\n1,2,3\n", ""])
def test_data_that_are_none_are_refused(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(InvalidArguments, match="dataset_path"):
        read_csv(str(path))


def test_without_the_digits_the_error_says_how_to_get_them(ctx, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps scikit-learn"):
        next(training.distributed_training(ctx))


def test_too_few_rows_are_refused(ctx):
    with pytest.raises(InvalidArguments, match="2 rows are too few for 3 processes"):
        list(train(Classifier({}), *blobs(3), Settings(processes=3), wait_for_nothing))
