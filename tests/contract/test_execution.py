"""The ways Keras can run and combine steps lead to the same weights."""

import keras
import numpy as np
import pytest

ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.fixture(scope="module")
def usual():
    """Weights and logs of the usual way, once they are known."""
    return []


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            {"jit_compile": True}, marks=pytest.mark.cell("jit_compile")
        ),
        pytest.param(
            {"jit_compile": False}, marks=pytest.mark.cell("jit_compile")
        ),
        pytest.param(
            {"run_eagerly": True}, marks=pytest.mark.cell("run_eagerly")
        ),
        pytest.param(
            {"steps_per_execution": 2},
            marks=pytest.mark.cell("steps_per_execution"),
        ),
    ],
    ids=str,
)
@pytest.mark.cell("batch normalization")
def test_every_way_to_run_a_step_gives_the_same_weights(
    build, compiled, batch, values, close, xla, usual, how
):
    def train(**kwargs):
        model = compiled(build(), **kwargs)
        if kwargs.get("jit_compile") is True:
            assert model.jit_compile is True
        logs = model.fit(*batch, epochs=2, **ARGUMENTS).history
        return values(model.student) + values(model.translator), logs

    if not usual:
        usual.extend(train(jit_compile="auto"))
    other, other_logs = train(**how)
    # Compilers order sums differently: some units in the last place (6e-8)
    # per step, here six steps.
    close(usual[0], other, atol=2e-6)
    for name, logged in usual[1].items():
        assert other_logs[name] == pytest.approx(logged, rel=1e-5), name


@pytest.mark.cell("gradient accumulation")
def test_accumulated_batches_equal_one_large_batch(
    network, build, compiled, batch, values, close
):
    def train(steps, size):
        keras.utils.set_random_seed(1)
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps)
        # Batch normalization would see the small batches.
        model = build(network(4, normalize=False, l2=1e-3))
        compiled(model, optimizer=optimizer)
        model.fit(*batch, **{**ARGUMENTS, "epochs": 4, "batch_size": size})
        return values(model.student) + values(model.translator)

    close(train(3, 8), train(None, 24), atol=1e-6)


@pytest.mark.parametrize(
    "frequency",
    [
        pytest.param(None, marks=pytest.mark.cell("moving average of weights")),
        pytest.param(2, marks=pytest.mark.cell("ema_overwrite_frequency")),
    ],
)
def test_moving_averages_equal_those_made_by_hand(
    build, compiled, batch, values, close, frequency
):
    def sgd(**kwargs):
        return keras.optimizers.SGD(0.1, **kwargs)

    model = compiled(
        build(),
        optimizer=sgd(
            use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency
        ),
    )
    model.fit(*batch, epochs=2, **ARGUMENTS)
    by_hand = compiled(build(), optimizer=sgd())
    average = None
    for step in range(6):
        start = step % 3 * 8
        by_hand.train_on_batch(*(part[start : start + 8] for part in batch))
        weights = [np.array(v) for v in by_hand.trainable_variables]
        average = average or weights
        average = [
            0.8 * old + 0.2 * new
            for old, new in zip(average, weights, strict=True)
        ]
        last = step == 5 and frequency is None
        if last or (frequency and (step + 1) % frequency == 0):
            for variable, value in zip(
                by_hand.trainable_variables, average, strict=True
            ):
                variable.assign(value)
    close(values(by_hand.student), values(model.student), atol=2e-6)
    close(values(by_hand.translator), values(model.translator), atol=2e-6)
