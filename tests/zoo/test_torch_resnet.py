import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError


def torch_arrays(n, classes, projection, channels=3, seed=0):
    """A PyTorch CIFAR ResNet's state_dict, written out independently."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def conv(name, out, into, size=3):
        shape = (out, into, size, size)
        arrays[f"{name}.weight"] = rng.normal(0, 0.1, shape)

    def norm(name, out):
        arrays[f"{name}.weight"] = rng.uniform(0.5, 1.5, out)
        arrays[f"{name}.bias"] = rng.normal(size=out)
        arrays[f"{name}.running_mean"] = rng.normal(size=out)
        arrays[f"{name}.running_var"] = rng.uniform(0.5, 1.5, out)
        arrays[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv1", 16, channels)
    norm("bn1", 16)
    before = 16
    for layer, width in enumerate((16, 32, 64), start=1):
        for block in range(n):
            prefix = f"layer{layer}.{block}"
            conv(f"{prefix}.conv1", width, before)
            norm(f"{prefix}.bn1", width)
            conv(f"{prefix}.conv2", width, width)
            norm(f"{prefix}.bn2", width)
            if projection and before != width:
                conv(f"{prefix}.shortcut.0", width, before, size=1)
                norm(f"{prefix}.shortcut.1", width)
            before = width
    arrays["linear.weight"] = rng.normal(size=(classes, 64))
    arrays["linear.bias"] = rng.normal(size=classes)
    return {k: v.astype("float32") for k, v in arrays.items()}


def forward(arrays, images, n):
    """The same network in NumPy, channels first, as PyTorch defines it."""

    def conv(x, name, stride=1):
        kernel = arrays[f"{name}.weight"]
        pad = kernel.shape[2] // 2
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(
            x, kernel.shape[2:], axis=(2, 3)
        )[:, :, ::stride, ::stride]
        return np.einsum("bihwkl,oikl->bohw", windows, kernel)

    def norm(x, name):
        scale, bias, mean, var = (
            arrays[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * scale + bias

    def shortcut(x, prefix, stride, width):
        if stride == 1:
            return x
        if f"{prefix}.shortcut.0.weight" in arrays:
            x = conv(x, f"{prefix}.shortcut.0", stride)
            return norm(x, f"{prefix}.shortcut.1")
        pad = width // 4
        x = x[:, :, ::2, ::2]
        return np.pad(x, ((0, 0), (pad, pad), (0, 0), (0, 0)))

    x = np.maximum(norm(conv(images, "conv1"), "bn1"), 0)
    for layer, width in enumerate((16, 32, 64), start=1):
        for block in range(n):
            prefix = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = norm(conv(x, f"{prefix}.conv1", stride), f"{prefix}.bn1")
            y = conv(np.maximum(y, 0), f"{prefix}.conv2")
            y = norm(y, f"{prefix}.bn2")
            x = np.maximum(y + shortcut(x, prefix, stride, width), 0)
    pooled = x.mean((2, 3))
    return pooled @ arrays["linear.weight"].T + arrays["linear.bias"]


@pytest.mark.parametrize("projection", [True, False])
@pytest.mark.parametrize(
    ("n", "classes", "input_shape"),
    [(1, 10, (32, 32, 3)), (2, 3, (29, 34, 1))],
)
def test_computes_what_pytorch_does(projection, n, classes, input_shape):
    arrays = torch_arrays(n, classes, projection, channels=input_shape[2])
    model = zoo.load_torch_resnet(arrays, input_shape)
    assert model.name == f"resnet{6 * n + 2}"

    images = np.random.default_rng(1).normal(size=(2, *input_shape))
    logits = model(images.astype("float32"), training=False)
    expected = forward(arrays, images.transpose(0, 3, 1, 2), n)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_reads_other_spellings():
    arrays = torch_arrays(1, 10, projection=True)
    renamed = {
        "module."
        + name.replace("shortcut", "downsample").replace("linear", "fc"): array
        for name, array in arrays.items()
    }
    ours = zoo.load_torch_resnet(arrays).get_weights()
    theirs = zoo.load_torch_resnet(renamed).get_weights()
    assert all(map(np.array_equal, ours, theirs))


def test_reads_a_file(tmp_path):
    arrays = torch_arrays(1, 10, projection=False)
    np.savez(tmp_path / "net.npz", **arrays)
    model = zoo.load_torch_resnet(tmp_path / "net.npz")
    head = model.get_layer("head").kernel.numpy()
    np.testing.assert_array_equal(head, arrays["linear.weight"].T)


@pytest.mark.parametrize("name", ["absent.npz", "text.npz", "cut.npz"])
def test_refuses_an_unreadable_file(tmp_path, name):
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "whole.npz", **torch_arrays(1, 10, True))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=name):
        zoo.load_torch_resnet(tmp_path / name)


def test_refuses_a_single_array(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"one\.npy"):
        zoo.load_torch_resnet(str(tmp_path / "one.npy"))


def removed(arrays):
    del arrays["layer2.0.bn1.running_var"]


def added(arrays):
    arrays["layer4.0.conv1.weight"] = np.zeros((8, 64, 3, 3), "float32")


def misshapen(arrays):
    arrays["layer1.0.conv2.weight"] = np.zeros((16, 8, 3, 3), "float32")


def half_a_projection(arrays):
    arrays["layer2.0.shortcut.0.weight"] = np.zeros((32, 16, 1, 1), "float32")


def not_finite(arrays):
    arrays["bn1.bias"] = np.full(16, np.nan, "float32")


def not_numbers(arrays):
    arrays["bn1.bias"] = np.array(["a"] * 16)


def twice(arrays):
    arrays["fc.bias"] = arrays["linear.bias"]


def headless(arrays):
    del arrays["linear.weight"]


def flat_head(arrays):
    arrays["linear.weight"] = np.zeros(640, "float32")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (removed, r"layer2\.0\.bn1\.running_var.*no such array.*\(32,\)"),
        (added, r"layer4\.0\.conv1\.weight.*\(8, 64, 3, 3\)"),
        (misshapen, r"layer1\.0\.conv2.*\(16, 8, 3, 3\).*\(16, 16, 3, 3\)"),
        (half_a_projection, r"layer2\.0\.shortcut\.1\.weight.*no such array"),
        (not_finite, r"bn1\.bias.*NaN"),
        (not_numbers, r"bn1\.bias.*dtype"),
        (twice, r"fc\.bias.*second array"),
        (headless, r"linear\.weight.*no such array"),
        (flat_head, r"linear\.weight.*\(640,\)"),
    ],
)
def test_is_strict(damage, message):
    arrays = torch_arrays(1, 10, projection=False)
    damage(arrays)
    with pytest.raises(InputError, match=message):
        zoo.load_torch_resnet(arrays)


def test_refuses_other_image_channels():
    with pytest.raises(InputError, match=r"conv1\.weight.*\(16, 1, 3, 3\)"):
        zoo.load_torch_resnet(torch_arrays(1, 10, True), (28, 28, 1))


@pytest.fixture(scope="module")
def cifar10_test(tfds_folder):
    tfds = pytest.importorskip("tensorflow_datasets")
    images, labels = tfds.as_numpy(
        tfds.load(
            "cifar10",
            split="test",
            data_dir=tfds_folder,
            download=False,
            as_supervised=True,
            batch_size=-1,
        )
    )
    # Normalization: shared/reference/README.md.
    mean = np.array([0.485, 0.456, 0.406], "float32")
    std = np.array([0.229, 0.224, 0.225], "float32")
    return (images.astype("float32") / 255 - mean) / std, labels


# Origin: the README of akamaster/pytorch_resnet_cifar10 gives test errors of
# 8.27 % and 6.61 % for these weights.
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "accuracy"), [("resnet20", 91.73), ("resnet56", 93.39)]
)
def test_real_networks_keep_their_accuracy(
    name, accuracy, cifar10_test, reference
):
    images, labels = cifar10_test
    assert len(images) == 10_000
    model = zoo.load_torch_resnet(
        reference / "teachers" / f"{name}_cifar10.npz"
    )
    assert model.name == name
    logits = model.predict(images, batch_size=500, verbose=0)
    measured = 100 * np.mean(logits.argmax(1) == labels)
    print(f"{name}: {measured:.2f} %")
    assert measured == pytest.approx(accuracy, abs=0.02)
