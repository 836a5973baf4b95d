"""The distiller's promises, each shown on small networks."""

import keras
import numpy as np
import pytest

from keras_ft import CoupledSGD
from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import transfers


def compiled(model, **kwargs):
    arguments = {
        "optimizer": CoupledSGD(0.1, momentum=0.9, weight_decay=1e-3),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
        **kwargs,
    }
    model.compile(**arguments)
    return model


def values(model):
    return [keras.ops.convert_to_numpy(v) for v in model.variables]


def assert_same(before, after):
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def differ(before, after):
    return [
        not np.array_equal(old, new)
        for old, new in zip(before, after, strict=True)
    ]


@keras.saving.register_keras_serializable(package="test")
class Counter(keras.layers.Layer):
    """Counts how often it runs, eagerly or in a graph."""

    def build(self, shape):
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )

    def call(self, x):
        self.count.assign_add(1.0)
        return x


def counted(model):
    image = keras.Input(model.input_shape[1:])
    counter = Counter()
    features = keras.Model(
        model.input, model.get_layer("features").output, name="inner"
    )
    x = keras.layers.ReLU(name="tapped")(features(counter(image)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(4)(x)), counter


def test_each_step_runs_student_and_teacher_once(network, paraphraser, batch):
    teacher, teacher_runs = counted(network(8))
    student, student_runs = counted(network(4))
    model = compiled(FactorTransfer(teacher, student, paraphraser))
    start = float(teacher_runs.count), float(student_runs.count)
    model.fit(*batch, batch_size=8, epochs=2, verbose=0)
    assert float(teacher_runs.count) - start[0] == 6
    assert float(student_runs.count) - start[1] == 6
    model.evaluate(*batch, batch_size=8, verbose=0)
    assert float(teacher_runs.count) - start[0] == 9
    assert float(student_runs.count) - start[1] == 9


def test_teacher_and_paraphraser_never_change(network, paraphraser, batch):
    teacher, student = network(8), network(4)
    model = compiled(FactorTransfer(teacher, student, paraphraser))
    before = values(teacher), values(paraphraser)
    student_before, translator_before = (
        values(student),
        values(model.translator),
    )
    model.fit(*batch, batch_size=8, epochs=3, verbose=0)
    assert_same(before[0], values(teacher))
    assert_same(before[1], values(paraphraser))
    assert teacher.trainable
    assert all(differ(student_before, values(student)))
    assert all(differ(translator_before, values(model.translator)))


def test_evaluate_and_predict_change_nothing(network, paraphraser, batch):
    teacher, student = network(8), network(4, dropout=0.5)
    model = compiled(FactorTransfer(teacher, student, paraphraser))
    model.fit(*batch, batch_size=8, verbose=0)
    before = values(model)
    model.evaluate(*batch, batch_size=8, verbose=0)
    predictions = model.predict(batch[0], verbose=0)
    assert_same(before, values(model))
    np.testing.assert_array_equal(
        predictions, student.predict(batch[0], verbose=0)
    )


def test_beta_zero_trains_like_the_student_alone(network, paraphraser, batch):
    teacher = network(8)
    student = network(4, l2=1e-3, dropout=0.3)
    alone = keras.models.clone_model(student)
    alone.set_weights(student.get_weights())
    weights = np.linspace(0.0, 2.0, 24).astype("float32")
    arguments = {"batch_size": 8, "epochs": 17, "verbose": 0, "shuffle": False}
    histories = []
    for model in (
        alone,
        FactorTransfer(teacher, student, paraphraser, beta=0.0),
    ):
        compiled(model)
        history = model.fit(*batch, sample_weight=weights, **arguments)
        histories.append(history.history["loss"])
    assert_same(values(alone), values(student))
    assert histories[0] == histories[1]


def test_zero_sample_weights_change_nothing(network, paraphraser, batch):
    teacher, student = network(8), network(4, normalise=False)
    model = compiled(
        FactorTransfer(teacher, student, paraphraser), optimizer="sgd"
    )
    before = values(student), values(model.translator)
    history = model.fit(
        *batch, sample_weight=np.zeros(24), epochs=2, verbose=0
    ).history
    assert_same(before[0], values(student))
    assert_same(before[1], values(model.translator))
    assert history["loss"] == [0.0, 0.0]


def test_weighting_an_example_equals_repeating_it(network, paraphraser, batch):
    images, labels = batch[0][:4], batch[1][:4]
    results = []
    for repeat in (False, True):
        keras.utils.set_random_seed(1)
        layer = Paraphraser(0.5)
        layer.trained = True
        student = network(4, normalise=False)
        model = FactorTransfer(network(8), student, layer)
        compiled(model, optimizer=keras.optimizers.SGD(0.1))
        order = [0, 1, 1, 2] if repeat else [0, 1, 2]
        # Keras divides by the number of examples, here three or four.
        weights = np.array([1, 1, 1, 1] if repeat else [0.75, 1.5, 0.75])
        model.train_on_batch(images[order], labels[order], weights)
        results.append(values(student))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "how", [{"run_eagerly": True}, {"steps_per_execution": 3}]
)
def test_every_execution_mode_gives_the_same_weights(
    network, paraphraser, batch, how
):
    def train(**kwargs):
        keras.utils.set_random_seed(5)
        layer = Paraphraser(0.5)
        layer.trained = True
        student = network(4)
        model = FactorTransfer(network(8), student, layer, beta=50.0)
        compiled(model, **kwargs)
        model.fit(*batch, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return values(student)

    for graph, other in zip(train(), train(**how), strict=True):
        np.testing.assert_allclose(graph, other, rtol=2e-4, atol=2e-5)


def test_explicit_step_equals_keras_own(
    network, paraphraser, batch, monkeypatch
):
    def train():
        keras.utils.set_random_seed(5)
        layer = Paraphraser(0.5)
        layer.trained = True
        student = network(4, l2=1e-3)
        model = compiled(FactorTransfer(network(8), student, layer))
        history = model.fit(*batch, epochs=4, shuffle=False, verbose=0).history
        return values(student), history

    explicit, explicit_history = train()
    monkeypatch.setattr(
        Distiller, "_tensorflow_train_step", keras.Model.train_step
    )
    stock, stock_history = train()
    assert_same(explicit, stock)
    assert explicit_history == stock_history


def test_logs_name_every_part_and_add_up(network, paraphraser, batch):
    student = network(4, l2=0.01)
    model = compiled(
        FactorTransfer(
            network(8),
            student,
            paraphraser,
            beta=100.0,
            also=[transfers.SoftTargets(temperature=3.0, beta=0.5)],
        )
    )
    history = model.fit(*batch, epochs=1, validation_data=batch, verbose=0)
    logs = {key: value[-1] for key, value in history.history.items()}
    for prefix in ("", "val_"):
        total = (
            logs[f"{prefix}task_loss"]
            + 100.0 * logs[f"{prefix}factor_loss"]
            + 0.5 * logs[f"{prefix}soft_target_loss"]
            + logs[f"{prefix}regularization_loss"]
        )
        assert logs[f"{prefix}loss"] == pytest.approx(total, rel=1e-5)
        assert logs[f"{prefix}regularization_loss"] > 0
        assert 0 <= logs[f"{prefix}accuracy"] <= 1


def test_beta_can_change_while_training(network, paraphraser, batch):
    model = compiled(
        FactorTransfer(network(8), network(4), paraphraser, beta=0.0),
        optimizer=keras.optimizers.SGD(0.0),
    )
    logs = []
    for beta in (0.0, 1000.0):
        model.beta = beta
        logs.append(model.fit(*batch, verbose=0).history)
    assert logs[0]["loss"] == pytest.approx(logs[0]["task_loss"])
    factor = logs[1]["factor_loss"][0]
    rise = logs[1]["loss"][0] - logs[1]["task_loss"][0]
    assert rise == pytest.approx(1000 * factor, rel=1e-4)


def test_task_weight_scales_the_labels_only(network, batch):
    model = Distiller(
        network(8),
        network(4, l2=0.01),
        [transfers.SoftTargets(beta=0.9)],
        task_weight=0.1,
    )
    logs = compiled(model).evaluate(*batch, return_dict=True, verbose=0)
    total = (
        0.1 * logs["task_loss"]
        + 0.9 * logs["soft_target_loss"]
        + logs["regularization_loss"]
    )
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_labels_are_optional_without_a_loss(network, paraphraser, batch):
    student = network(4)
    model = FactorTransfer(network(8), student, paraphraser)
    model.compile("sgd")
    before = values(student)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        model.fit(batch[0], verbose=0)
    conv, head = student.get_layer("conv"), student.get_layer("head")
    changed = dict(
        zip(
            (v.path for v in student.variables),
            differ(before, values(student)),
            strict=True,
        )
    )
    assert changed[conv.kernel.path] and not changed[head.kernel.path]


def test_a_users_own_transfer_needs_no_registration(network, batch):
    class MeanMatch(transfers.Transfer):
        def call(self, teacher, student):
            gap = keras.ops.mean(teacher, (1, 2, 3)) - keras.ops.mean(
                student, (1, 2, 3)
            )
            return keras.ops.square(gap)

    model = compiled(
        Distiller(network(8), network(4), [MeanMatch(beta=2.0, name="mean")])
    )
    history = model.fit(*batch, verbose=0).history
    assert history["mean_loss"][0] > 0


def test_a_trainable_flag_changed_between_fits_is_noticed(
    network, paraphraser, batch
):
    student = network(4)
    model = compiled(FactorTransfer(network(8), student, paraphraser))
    model.fit(*batch, verbose=0)
    student.get_layer("conv").trainable = False
    with pytest.raises(InputError, match="Call compile\\(\\) again"):
        model.fit(*batch, verbose=0)
    compiled(model).fit(*batch, verbose=0)


def test_nan_images_stop_before_the_update(network, paraphraser, batch):
    student = network(4)
    model = compiled(FactorTransfer(network(8), student, paraphraser))
    before = values(student)
    images = batch[0].copy()
    images[3, 2, 2, 0] = np.nan
    with pytest.raises(InputError, match="Invalid `x`.*NaN"):
        model.fit(images, batch[1], batch_size=24, verbose=0)
    assert_same(before, values(student))


def test_a_mixed_precision_student_sets_the_policy(batch, network):
    keras.config.set_dtype_policy("mixed_float16")
    layer = Paraphraser(0.5)
    layer.trained = True
    model = compiled(FactorTransfer(network(8), network(4), layer))
    assert model.dtype_policy.name == "mixed_float16"
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    history = model.fit(*batch, epochs=2, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
