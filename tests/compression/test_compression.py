import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.compression import compress
from keras_ft.errors import InputError

tf = pytest.importorskip("tensorflow")


def _values(kernels):
    return {name: np.unique(kernel).size for name, kernel in kernels.items()}


def _weights(model):
    return [keras.ops.convert_to_numpy(v.value) for v in model.variables]


def test_the_factor_term_reaches_the_student(make_model, train, kernels_of):
    with_term, without = (
        kernels_of(compress(make_model(beta), "qat", train, verbose=0))
        for beta in (50.0, 0.0)
    )
    assert np.abs(with_term["conv"] - without["conv"]).max() > 1e-4


def test_the_factor_loss_falls(model, train):
    result = compress(
        model, "qat", train, epochs=12, learning_rate=0.01, verbose=0
    )
    history = result.history.history
    assert set(history) == {"loss", "task_loss", "factor_loss", "accuracy"}
    assert history["factor_loss"][-1] < 0.8 * history["factor_loss"][0]
    assert history["task_loss"][-1] < history["task_loss"][0]
    total = history["task_loss"][0] + 50.0 * history["factor_loss"][0]
    assert history["loss"][0] == pytest.approx(total, rel=1e-5)


def test_nothing_handed_in_changes(model, train):
    before = _weights(model), _weights(model.teacher)
    optimizer = [np.array(v) for v in model.optimizer.variables]
    compress(model, "pcqat", train, learning_rate=0.1, verbose=0)
    for old, new in zip(before[0], _weights(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(before[1], _weights(model.teacher), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(optimizer, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))


def test_pruning_reaches_its_sparsity_in_silence(
    model, train, kernels_of, capfd
):
    result = compress(model, "prune", train, sparsity=0.8, verbose=0)
    assert capfd.readouterr().out == ""
    for kernel in kernels_of(result).values():
        zeros = np.mean(kernel == 0)
        assert zeros == pytest.approx(0.8, abs=1 / kernel.size)
    assert {type(layer).__name__ for layer in result.layers} == {
        "InputLayer",
        "Conv2D",
        "BatchNormalization",
        "ReLU",
        "GlobalAveragePooling2D",
        "Dense",
    }


def test_clustering_leaves_few_values(model, compressed, kernels_of):
    before = {
        name: np.unique(model.student.get_layer(name).kernel).size
        for name in ("conv", "head")
    }
    assert min(before.values()) > 6
    assert max(_values(kernels_of(compressed("cluster"))).values()) <= 6


def test_quantization_keeps_the_zeros(compressed, kernels_of, zeros_of):
    pruned = compressed("prune")
    zeros = zeros_of(pruned)
    assert len(zeros["conv"]) == kernels_of(pruned)["conv"].size // 2

    quantized = compressed("pqat", "prune")
    assert zeros_of(quantized) == zeros
    assert _values(kernels_of(quantized))["conv"] > 6
    moved = kernels_of(quantized)["conv"] != kernels_of(pruned)["conv"]
    assert moved.any()


def test_clustering_and_quantization_keep_the_zeros(
    model, compressed, train, kernels_of, zeros_of
):
    pruned = compressed("prune")
    options = {"clusters": 6, "learning_rate": 0.01, "verbose": 0}
    both = compress(model, "cluster", train, start=pruned, **options)
    assert zeros_of(both) == zeros_of(pruned)
    assert max(_values(kernels_of(both)).values()) <= 6

    all_three = compress(model, "pcqat", train, start=both, **options)
    assert zeros_of(all_three) == zeros_of(pruned)
    assert max(_values(kernels_of(all_three)).values()) <= 6
    assert (kernels_of(all_three)["conv"] != kernels_of(both)["conv"]).any()


def test_quantization_keeps_the_clusters(compressed, kernels_of):
    old = kernels_of(compressed("cluster"))["conv"]
    new = kernels_of(compressed("cqat", "cluster"))["conv"]
    assert (old != new).any()
    for value in np.unique(old):
        assert np.unique(new[old == value]).size == 1


def test_the_same_seed_gives_the_same_student(make_model, train, kernels_of):
    first, second, other = (
        kernels_of(
            compress(make_model(dropout=0.5), "qat", train, seed=s, verbose=0)
        )["head"]
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0


def test_the_result_evaluates_itself_in_8_bits(model, train):
    result = compress(
        model, "qat", train, epochs=20, learning_rate=0.01, verbose=0
    )
    loss, accuracy = result.evaluate(train, verbose=0)
    assert loss < 1.2
    assert accuracy > 0.5
    logits = result.predict(train, verbose=0)
    # A uint8 output has at most 256 values.
    assert np.unique(logits).size < logits.size


def test_a_student_alone_learns_its_labels(network, train):
    result = compress(
        network(8), "prune", train, epochs=3, learning_rate=0.01, verbose=0
    )
    history = result.history.history
    assert set(history) == {"loss", "task_loss", "accuracy"}
    assert history["loss"] == history["task_loss"]
    assert history["loss"][-1] < history["loss"][0]


def test_weights_of_examples_count(model, train):
    def weighted(images, labels):
        return images, labels, tf.zeros_like(labels, "float32")

    result = compress(model, "qat", train.map(weighted), verbose=0)
    assert result.history.history["loss"] == [0.0]


def test_one_hot_labels_and_soft_targets(network, train):
    teacher, student = network(12), network(8)
    term = keras_ft.transfers.SoftTargets(temperature=2.0)
    model = keras_ft.Distiller(teacher, student, [term], task_weight=0.1)
    one_hot = train.map(lambda x, y: (x, tf.one_hot(y, 4)))
    result = compress(model, "qat", one_hot, validation=one_hot, verbose=0)
    history = result.history.history
    task, soft = history["task_loss"][0], history["soft_target_loss"][0]
    assert history["loss"][0] == pytest.approx(0.1 * task + soft, rel=1e-5)
    assert {"val_task_loss", "val_accuracy"} < set(history)
    assert 0.0 <= result.evaluate(one_hot, verbose=0)[1] <= 1.0


def test_taps_inside_a_nested_student(network, paraphraser, train):
    backbone = network(8, name="backbone")
    image = keras.Input((8, 8, 3))
    student = keras.Model(image, backbone(image))
    model = keras_ft.FactorTransfer(
        network(12),
        student,
        paraphraser,
        student_layer_name="backbone/features",
    )
    result = compress(model, "qat", train, verbose=0)
    assert result.history.history["factor_loss"][0] > 0


def test_regularizers_go_on(network, train):
    strong = compress(network(8, l2=10.0), "qat", train, verbose=0)
    history = strong.history.history
    assert history["loss"][0] > history["task_loss"][0] + 1.0


def test_what_is_not_finite_changes_nothing(model, train):
    broken = train.map(lambda x, y: (x + float("nan"), y))
    with pytest.raises(InputError, match="NaN or infinite"):
        compress(model, "qat", broken, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"method": "shrink"}, "method"),
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": -0.5}, "sparsity"),
        ({"clusters": 2}, "clusters"),
        ({"clusters": 16.0}, "clusters"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"train": None}, "train"),
        ({"validation": np.zeros((4, 8, 8, 3))}, "validation"),
        ({"start": "student.keras"}, "start"),
        ({"model": None}, "model"),
    ],
)
def test_arguments_of_no_use_are_named(model, train, arguments, named):
    request = {"model": model, "method": "qat", "train": train, **arguments}
    with pytest.raises(InputError, match=f"Invalid `{named}`"):
        compress(**request, verbose=0)


def test_data_that_does_not_fit_is_refused_before_anything_is_built(
    model, train
):
    small = train.map(lambda x, y: (x[:, :4], y))
    with pytest.raises(InputError, match="Invalid `x`"):
        compress(model, "qat", small)
    one_hot = train.map(lambda x, y: (x, tf.one_hot(y, 4)))
    with pytest.raises(InputError, match="Invalid `y`"):
        compress(model, "qat", one_hot)
    endless = train.repeat()
    with pytest.raises(InputError, match="steps_per_epoch"):
        compress(model, "qat", endless)
    model.paraphraser.trained = False
    with pytest.raises(InputError, match="Invalid `paraphraser`"):
        compress(model, "qat", train)


def test_a_quantized_start_is_refused(model, compressed, train):
    quantized = compressed("pqat", "prune")
    with pytest.raises(InputError, match="Invalid `start`"):
        compress(model, "pqat", train, start=quantized, verbose=0)
