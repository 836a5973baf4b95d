"""A cache of something else is refused, and what differs is named."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache import key as keys


def _nudge(teacher):
    """One weight becomes the next larger number."""
    kernel = teacher.get_layer("conv").kernel
    value = np.array(kernel)
    value[1, 1, 0, 3] = np.nextafter(value[1, 1, 0, 3], np.float32(9))
    kernel.assign(value)


DATA_CHANGES = [
    ({"pixel": (33, 7, 7, 2)}, "images"),
    ({"label": 5}, "labels"),
    ({"swap": True}, "images, labels"),
    ({"seed": 1}, "order or seed"),
    ({"augment": "none"}, "augmentation"),
    ({"augment": "crop+flip+mixup"}, "augmentation"),
    ({"augment": "crop+flip+cutmix"}, "augmentation"),
    ({"augment": "crop+flip+randaugment"}, "augmentation"),
    ({"augment": "crop"}, "augmentation"),
    ({"mean": 0.4}, "normalization"),
    ({"batch_size": 8}, "batch size"),
    ({"drop_remainder": True}, "steps per epoch, rows"),
    ({"train_examples": 39}, "rows, images, labels"),
]


@pytest.mark.parametrize(("change", "named"), DATA_CHANGES)
def test_changed_data_is_refused(
    change, named, folder, teacher, data, make_data, build
):
    before = (folder / "manifest.json").read_bytes()
    other = make_data(**change)
    # Both take the same way; one build stands for all.
    calls = [FeatureCache.open, *([build] if "seed" in change else [])]
    for call in calls:
        with pytest.raises(InputError) as refused:
            call(folder, teacher, other)
        assert refused.value.argument.startswith(named)
        assert str(folder) in str(refused.value)
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"taps": ("conv",)}, "taps"),
        ({"views": 3}, "views"),
        ({"dtype": "int8"}, "dtype"),
        ({"logits": True}, "logits"),
    ],
)
def test_another_form_is_refused(change, named, folder, teacher, data, build):
    with pytest.raises(InputError, match=f"Invalid `{named}`"):
        build(folder, teacher, data, **change)
    with pytest.raises(InputError, match=f"Invalid `{named}`"):
        FeatureCache.open(folder, teacher, data, **change)


def test_one_weight_by_one_ulp_is_refused(folder, teacher, data, build):
    _nudge(teacher)
    for call in (build, FeatureCache.open):
        with pytest.raises(InputError, match="Invalid `teacher weights`"):
            call(folder, teacher, data)


def test_another_graph_with_the_same_weights_is_refused(folder, network, data):
    teacher = network()
    other = network(stride=2)
    other.set_weights(teacher.get_weights())
    with pytest.raises(InputError, match="Invalid `teacher architecture`"):
        FeatureCache.open(folder, other, data)


def test_another_image_size_is_refused(
    folder, teacher, data, make_data, network
):
    other = network(size=12)
    other.set_weights(teacher.get_weights())
    with pytest.raises(InputError, match="image size"):
        FeatureCache.open(folder, other, make_data(size=12))


def test_another_format_is_refused(folder, teacher, data, build, monkeypatch):
    monkeypatch.setattr(keys, "FORMAT", keys.FORMAT + 1)
    for call in (build, FeatureCache.open):
        with pytest.raises(InputError, match="Invalid `format version`"):
            call(folder, teacher, data)


def test_names_and_flags_of_the_same_teacher_do_not_matter(
    folder, teacher, network, data
):
    # As another process would have it: other names, frozen, regularized.
    same = network(l2=0.1, name="another")
    same.set_weights(teacher.get_weights())
    same.trainable = False
    assert FeatureCache.open(folder, same, data).views == 2


def test_sampled_fingerprints_see_other_images(
    folder, teacher, data, make_data, build, monkeypatch, tmp_path
):
    monkeypatch.setattr(keys, "FULL_BYTES", 0)
    monkeypatch.setattr(keys, "SAMPLE", 8)
    with pytest.raises(InputError, match="Invalid `images"):
        FeatureCache.open(folder, teacher, data)
    folder = tmp_path / "sampled"
    build(folder, teacher, data)
    with pytest.raises(InputError, match="Invalid `images"):
        FeatureCache.open(folder, teacher, make_data(swap=True))


def test_a_cache_opens_without_its_teacher(folder, teacher, data):
    digest = FeatureCache.open(folder, teacher, data).teacher_digest
    alone = FeatureCache.open(folder, None, data, teacher_digest=digest)
    beside = FeatureCache.open(folder, teacher, data)
    assert alone.teacher_digest == beside.teacher_digest == digest
    for one, other in zip(alone.test, beside.test, strict=True):
        np.testing.assert_array_equal(
            one[0]["features"]["features"], other[0]["features"]["features"]
        )


def test_without_a_teacher_its_digest_is_needed(
    folder, teacher, data, make_data, build
):
    digest = FeatureCache.open(folder, teacher, data).teacher_digest
    with pytest.raises(InputError, match="Pass teacher_digest="):
        FeatureCache.open(folder, None, data)
    _nudge(teacher)
    other = build(None, teacher, data).teacher_digest
    assert other != digest
    with pytest.raises(InputError, match="Invalid `teacher_digest`"):
        FeatureCache.open(folder, None, data, teacher_digest=other)
    with pytest.raises(InputError, match="Invalid `taps`"):
        FeatureCache.open(
            folder, None, data, taps=("conv",), teacher_digest=digest
        )
    with pytest.raises(InputError, match="Invalid `images`"):
        FeatureCache.open(
            folder,
            None,
            make_data(pixel=(0, 0, 0, 0)),
            teacher_digest=digest,
        )


def test_opening_compares_with_the_live_teacher(
    folder, teacher, data, monkeypatch
):
    known = keys.of_teacher(teacher)
    kernel = teacher.get_layer("conv").kernel
    kernel.assign(-np.array(kernel))
    # As if the digests had not seen it.
    monkeypatch.setattr(keys, "of_teacher", lambda teacher: known)
    with pytest.raises(InputError, match="to the live teacher's"):
        FeatureCache.open(folder, teacher, data)


def test_rows_are_found_by_image_in_any_order(folder, teacher, data, make_data):
    """Should the key miss another order, every image still has its row."""
    cache = FeatureCache.open(folder, teacher, data)
    rows = {}
    for source in (data, make_data(seed=1), make_data(batch_size=7)):
        cache._batches.data = source
        batches = cache.train_from(0).take(source.steps_per_epoch)
        numbers = source.numbered("train", tf.data.Dataset.range(1))
        for (x, _), (_, _, numbered, _) in zip(batches, numbers, strict=True):
            features = x["features"]["features"].numpy()
            for number, row in zip(numbered.numpy(), features, strict=True):
                known = rows.setdefault(number, row)
                np.testing.assert_array_equal(row, known)
    assert sorted(rows) == list(range(40))
