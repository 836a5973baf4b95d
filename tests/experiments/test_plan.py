"""The plan of a toy run: counted by hand where it counts, finite elsewhere."""

import math
import os

import pytest

from keras_ft import experiments
from keras_ft.cli.main import main
from keras_ft.errors import InputError
from keras_ft.experiments import datasets
from keras_ft.experiments import peak_memory
from keras_ft.recipes import Recipe


@pytest.fixture(scope="module")
def planned(distill_arguments, tmp_path_factory):
    networks = dict(
        word.removeprefix("--").split("=") for word in distill_arguments[1:3]
    )
    recipe = Recipe.preset("official").short(1, 2)
    settings = experiments.Settings(
        recipe=recipe,
        train_examples=300,
        methods=("ft", "none", "kd"),
        pixels="dataset",  # the teacher is not trained
        **networks,
    )
    return settings, experiments.plan(settings, steps=2)


def test_parameters_and_operations_are_those_of_the_networks(planned):
    _, plan = planned
    assert plan.parameters == {
        "teacher": 25 * 12 + 12 + 7 * 7 * 12 * 10 + 10,
        "paraphraser": 9 * 2 * (12 * 12 + 12 * 6 + 6 * 6) + 24 + 30,
        "translator": 9 * (8 * 8 + 8 * 6 + 6 * 6) + 8 + 6 + 6,
        "student": 25 * 8 + 8 + 7 * 7 * 8 * 10 + 10,
    }
    places = 7 * 7
    student = 2 * places * (25 * 8 + 8 * 10) + places * 8 + 10
    assert plan.flops["student"] == student
    translator = 2 * places * 9 * (8 * 8 + 8 * 6 + 6 * 6) + places * 20
    assert plan.flops["translator"] == translator


def test_operations_of_a_step(planned):
    _, plan = planned
    costs = {cost.name: cost for cost in plan.phases}
    assert list(costs) == ["paraphrase", "ft", "none", "kd"]
    assert costs["none"].flops == 128 * 3 * plan.flops["student"]
    assert costs["paraphrase"].cached_flops == (
        128 * 3 * plan.flops["paraphraser"]
    )
    # Up to the tap, which is all but the head.
    to_tap = plan.flops["teacher"] - (2 * 7 * 7 * 12 * 10 + 10)
    online = costs["paraphrase"].flops - costs["paraphrase"].cached_flops
    assert online == 128 * to_tap
    ft = costs["ft"]
    assert ft.flops - ft.cached_flops == 128 * to_tap
    assert costs["kd"].flops - costs["kd"].cached_flops == (
        128 * plan.flops["teacher"]
    )


def test_steps_bytes_and_times(planned):
    settings, plan = planned
    # 300 images less a tenth for validation: 3 steps an epoch.
    assert [cost.steps for cost in plan.phases] == [3, 6, 6, 6]
    for cost in plan.phases:
        assert 0 < cost.step_seconds < cost.seconds < math.inf
        assert 0 < cost.cached_step_seconds < cost.cached_seconds
    assert plan.seconds == sum(cost.seconds for cost in plan.phases)
    assert plan.cached_seconds > plan.cache_seconds > 0
    # Two epochs need two views. A row: the image's number, features, logits,
    # 4 bytes that make it whole words, a check sum.
    assert plan.cache_views == 2
    data = datasets.Loader(settings)(128)
    rows = 2 * data.sizes["train"] + data.sizes["validation"]
    rows += data.sizes["test"]
    assert plan.cache_bytes == rows * (8 + 2 * (7 * 7 * 12 + 10) + 4 + 8)
    (online, whose), (cached, _) = plan.memory["online"], plan.memory["cached"]
    assert online >= cached > 50e6
    assert whose in (peak_memory.PROCESS, peak_memory.GPU)
    assert f"of {whose}, measured: cached {cached / 1e6:,.0f} MB" in str(plan)


def test_the_table_has_every_line(planned):
    _, plan = planned
    lines = str(plan).splitlines()
    starts = [line.split()[0] for line in lines if line]
    expected = ["network", "teacher", "paraphraser", "translator", "student"]
    expected += ["phase", "paraphrase", "ft", "none", "kd"]
    assert starts[:10] == expected
    assert {"cache", "total"} <= set(starts)
    assert f"{plan.cache_bytes:,} bytes" in lines[-1]
    assert any(line.startswith("Training images: crop+flip") for line in lines)


@pytest.mark.long
def test_a_teacher_that_is_to_be_trained_is_planned_too():
    settings = experiments.Settings(
        recipe=Recipe.preset("official").short(1, 1, 3),
        train_examples=64,
        teacher_network="resnet8",
        student="resnet8",
    )
    plan = experiments.plan(settings, steps=1)
    names = [cost.name for cost in plan.phases]
    assert names == ["teacher", "paraphrase", "ft"]
    assert plan.phases[0].steps == 3
    assert plan.phases[0].flops == 128 * 3 * plan.flops["teacher"]


def test_no_steps_are_refused(planned):
    settings, _ = planned
    with pytest.raises(InputError, match="Invalid `steps`"):
        experiments.plan(settings, steps=0)


def test_the_command_prints_and_leaves_no_trace(
    distill_arguments, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = [*distill_arguments, "--baselines=", f"--run_dir={tmp_path}/run"]
    assert main([*words, "--plan"]) == 0
    assert capsys.readouterr().out.startswith("network")
    assert os.listdir(tmp_path) == []


def test_a_plan_measures_one_device(distill_arguments, capsys):
    words = [*distill_arguments, "--plan", "--strategy=mirrored"]
    assert main(words) == 2
    assert "--strategy=none" in capsys.readouterr().err
