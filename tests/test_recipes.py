"""The presets against the published settings, value by value."""

import json

import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Recipe
from keras_ft.optimizers import Schedule

# (lr, weight decay, batch, epochs, milestones) as read in the repositories
# each recipe names in `source`.
PUBLISHED = {
    "official": {
        "rate": 0.5,
        "rounding": "round",
        "beta": 500.0,
        "p": 1,
        "form": "flat",
        "reconstruction_loss": "l1",
        "translator_batch_normalization": False,
        "paraphrase": (0.1, 5e-4, 128, 6, (150, 225)),
        "paraphrase_steps": 2346,
        "distill": (0.1, 5e-4, 128, 164, (82, 123)),
        "teacher": (0.1, 5e-4, 128, 164, (82, 123)),
    },
    "paper": {
        "rate": 0.5,
        "rounding": "round",
        "beta": 500.0,
        "p": 1,
        "form": "flat",
        "reconstruction_loss": "l2",
        "translator_batch_normalization": False,
        "paraphrase": (0.01, 5e-4, 128, 6, (150, 225)),
        "paraphrase_steps": 2346,
        "distill": (0.1, 5e-4, 128, 164, (82, 123)),
        "teacher": (0.1, 5e-4, 128, 164, (82, 123)),
    },
    "repdistiller": {
        "rate": 0.5,
        "rounding": "floor",
        "beta": 200.0,
        "p": 1,
        "form": "attention",
        "reconstruction_loss": "l2",
        "translator_batch_normalization": True,
        "paraphrase": (0.01, 5e-4, 64, 30, ()),
        "paraphrase_steps": 23460,
        "distill": (0.05, 5e-4, 64, 240, (150, 180, 210)),
        "teacher": (0.05, 5e-4, 64, 240, (150, 180, 210)),
    },
    "torchdistill": {
        "rate": 0.5,
        "rounding": "floor",
        "beta": 1000.0,
        "p": 1,
        "form": "flat",
        "reconstruction_loss": "l2",
        "translator_batch_normalization": False,
        "paraphrase": (0.01, 1e-4, 256, 1, ()),
        "paraphrase_steps": 5005,
        "distill": (0.1, 1e-4, 256, 90, (30, 60)),
        "teacher": (0.1, 1e-4, 256, 90, (30, 60)),
    },
}


def test_every_preset_is_listed():
    assert set(Recipe.names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_equal_the_published_settings(name):
    recipe = Recipe.preset(name)
    for key, expected in PUBLISHED[name].items():
        found = getattr(recipe, key)
        if isinstance(found, Schedule):
            assert (found.momentum, found.nesterov) == (0.9, False)
            assert (found.decay, found.shape) == (0.1, "step")
            found = (
                found.learning_rate,
                found.weight_decay,
                found.batch_size,
                found.epochs,
                found.milestones,
            )
        assert found == expected, key
    assert not recipe.paraphraser_batch_normalization
    assert recipe.source


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_survives_json(name):
    recipe = Recipe.preset(name)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_builds_its_models(name, network):
    recipe = Recipe.preset(name)
    teacher, paraphraser = network(8), recipe.paraphraser()
    phase1 = recipe.paraphraser_trainer(teacher, paraphraser)
    assert phase1.reconstruction_loss == recipe.reconstruction_loss
    model = recipe.distiller(teacher, network(4), paraphraser)
    match = model.transfers[0]
    assert float(match.beta) == recipe.beta
    assert match.form == recipe.form
    batch_norms = match.translator.batch_normalization
    assert batch_norms == (name == "repdistiller")
    kind = Distiller if recipe.form == "attention" else FactorTransfer
    assert type(model) is kind


def test_the_learning_rate_drops_exactly_at_the_milestones():
    schedule = Schedule(4, 128, 0.1, milestones=(1, 3))
    rate = schedule.rate_at(steps_per_epoch=10)
    found = [float(rate(step)) for step in range(40)]
    expected = [0.1] * 10 + [0.01] * 20 + [0.001] * 10
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_linear_schedule_reaches_zero_at_its_end():
    rate = (
        Schedule(4, 128, 0.1)
        .changed(epochs=2, shape="linear")
        .rate_at(steps_per_epoch=10)
    )
    assert float(rate(0)) == pytest.approx(0.1)
    assert float(rate(10)) == pytest.approx(0.05)
    assert float(rate(20)) == 0.0


def test_more_epochs_keep_the_shape():
    schedule = Recipe.preset("official").distill.changed(epochs=82)
    assert (schedule.epochs, schedule.milestones) == (82, (41, 62))


def test_a_short_recipe_says_that_it_is_one():
    recipe = Recipe.preset("official").short(2, 6)
    assert recipe.name == "official (short)"
    assert (recipe.paraphrase.epochs, recipe.distill.epochs) == (2, 6)
    assert recipe.distill.shape == "linear"
    assert recipe.beta == 500.0


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"shape": "cos"},
    ],
)
def test_schedules_refuse_values_out_of_range(changes):
    values = {"epochs": 1, "batch_size": 1, "learning_rate": 0.1, **changes}
    with pytest.raises(InputError, match=next(iter(changes))):
        Schedule(**values)


def test_unknown_presets_are_refused():
    with pytest.raises(InputError, match="one of official"):
        Recipe.preset("offical")


def test_another_reduction_reaches_the_term_and_the_run_folder(network):
    recipe = Recipe.preset("official")
    assert "reduction" not in recipe.to_dict()
    for form in ("flat", "attention"):
        other = recipe.replace(reduction="sum", beta=0.244, form=form)
        model = other.distiller(network(8), network(4), other.paraphraser())
        assert model.transfers[0].reduction == "sum"
        assert Recipe.from_dict(other.to_dict()) == other
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    "wrong",
    [
        {"kd_alpha": 1.5},
        {"kd_temperature": 0.0},
        {"at_beta": -1.0},
        {"fitnet_beta": float("nan")},
        {"skd_temperature": 0.0},
        {"skd_task_weight": -0.1},
        {"skd_beta": -1.0},
        {"dkd_temperature": -4.0},
        {"dkd_target_weight": -1.0},
        {"dkd_non_target_weight": float("inf")},
    ],
)
def test_weights_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Recipe.preset("official").replace(**wrong)


def test_epochs_mean_the_same_with_both_schedules():
    recipe = Recipe.preset("official")
    step = recipe.scheduled(epochs=82, paraphrase_epochs=3, batch_size=32)
    assert (step.distill.epochs, step.distill.milestones) == (82, (41, 62))
    assert (step.paraphrase.epochs, step.paraphrase.batch_size) == (3, 32)
    assert step.distill.shape == "step" and step.name == "official"
    linear = recipe.scheduled(epochs=82, schedule="linear", learning_rate=0.2)
    assert (linear.distill.epochs, linear.distill.shape) == (82, "linear")
    assert linear.distill.learning_rate == 0.2
    assert linear.paraphrase.learning_rate == recipe.paraphrase.learning_rate
    assert linear == linear.scheduled(schedule="linear")
    with pytest.raises(InputError, match="schedule"):
        recipe.scheduled(schedule="cosine")


def test_phase_1_takes_the_published_steps_of_any_data():
    recipe = Recipe.preset("official")
    # CIFAR-10, whole: as published. Larger sets: as published, too.
    for steps_per_epoch in (391, 10_009):
        sized = recipe.in_epochs(steps_per_epoch)
        assert sized.paraphrase == recipe.paraphrase
        assert sized.distill == recipe.distill
        # A run folder of before has the same settings.
        assert "paraphrase_steps" not in sized.to_dict()
    few = recipe.in_epochs(36).paraphrase
    assert few.epochs == 66  # 66 x 36 = 2,376 steps
    assert few.milestones == (1650, 2475)
    assert recipe.in_epochs(1).in_epochs(1).paraphrase.epochs == 2346
    imagenet = Recipe.preset("torchdistill")
    assert imagenet.in_epochs(5005).paraphrase.epochs == 1
    assert Recipe.preset("repdistiller").in_epochs(782).paraphrase.epochs == 30
    with pytest.raises(InputError, match="steps_per_epoch"):
        recipe.in_epochs(0)


def test_the_length_of_phase_1_may_be_chosen_in_steps_or_epochs():
    recipe = Recipe.preset("official")
    for steps, epochs in ((1, 1), (391, 1), (392, 2), (3000, 8)):
        chosen = recipe.scheduled(paraphrase_steps=steps, epochs=8)
        assert chosen.in_epochs(391).paraphrase.epochs == epochs
        assert chosen.distill.epochs == 8
    in_epochs = recipe.scheduled(paraphrase_epochs=2)
    assert in_epochs.in_epochs(1).paraphrase.epochs == 2
    assert recipe.short(3, 6).in_epochs(1).paraphrase.epochs == 3
    # Another length of phase 2 leaves the published one alone.
    other = recipe.scheduled(epochs=3, batch_size=64)
    assert other.in_epochs(36).paraphrase.epochs == 66
    with pytest.raises(InputError, match="one of the two"):
        recipe.scheduled(paraphrase_epochs=2, paraphrase_steps=100)
    with pytest.raises(InputError, match="paraphrase_steps"):
        recipe.scheduled(paraphrase_steps=0)


def test_drops_of_phase_1_move_with_its_length():
    own = Schedule(4, 128, 0.1, milestones=(2, 3))
    recipe = Recipe.preset("official").replace(paraphrase=own)
    assert recipe.in_epochs(100).paraphrase.milestones == (12, 18)
    # In steps that are chosen they would be lost in one epoch.
    with pytest.raises(InputError, match="after epoch 2 of 4"):
        recipe.scheduled(paraphrase_steps=2000)
    linear = recipe.scheduled(paraphrase_steps=2000, schedule="linear")
    assert linear.in_epochs(100).paraphrase.epochs == 20


def test_a_recipe_of_an_earlier_run_is_read():
    content = Recipe.preset("official").to_dict()
    weights = {"kd_alpha", "at_beta", "skd_beta", "dkd_target_weight"}
    assert weights.isdisjoint(content)
    other = Recipe.preset("official").replace(kd_alpha=0.5)
    assert other.to_dict()["kd_alpha"] == 0.5
