"""Small files that would unpack to what no machine holds, or refer elsewhere.

The tests run within this process: if a limit fails, it takes the memory that
the file asks for.
"""

import io
import json
import resource
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import archives
from keras_ft import zoo
from keras_ft.reading import FACTOR

MIB = 2**20


@pytest.fixture
def network():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3, name="head")(x))


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "network.keras"
    network.save(path)
    return path


@pytest.fixture
def little_memory():
    """Fails the test where more than 256 MiB were taken."""
    # Counted in bytes on macOS, in kB elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * unit < 256 * MIB


pytestmark = pytest.mark.usefixtures("little_memory")


def changed(saved, change):
    """Write the archive anew; `change` takes and returns its entries."""
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    path = saved.with_name("changed.keras")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in change(entries).items():
            archive.writestr(name, content)
    return path


def reconfigured(saved, change):
    """Write the archive with another description; `change` edits it."""

    def apply(entries):
        config = json.loads(entries["config.json"])
        change(config["config"]["layers"])
        return {**entries, "config.json": json.dumps(config)}

    return changed(saved, apply)


def hdf5(fill):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def with_weights(saved, fill):
    content = hdf5(fill)
    return changed(saved, lambda e: {**e, "model.weights.h5": content})


def test_an_honest_network_is_loaded(saved, network):
    loaded = archives.load_network(saved)
    for ours, theirs in zip(loaded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_honest_old_file_is_loaded(network, tmp_path):
    path = tmp_path / "network.h5"
    network.save(path)
    assert archives.load_network(path).count_params() == network.count_params()


def test_compressed_and_pruned_weights_are_loaded(saved):
    # What another program has packed again; most of it zeros.
    path = changed(saved, lambda entries: entries)
    assert archives.load_network(path).count_params() > 0


def test_a_billion_units_are_not_made(saved):
    def widen(layers):
        layers[-1]["config"]["units"] = 10**9

    path = reconfigured(saved, widen)
    with pytest.raises(InputError, match="describes a network of at least"):
        archives.load_network(path)


def test_the_way_layers_make_weights_is_as_before(saved):
    before = keras.layers.Layer.add_weight
    path = reconfigured(saved, lambda x: x[-1]["config"].update(units=10**9))
    with pytest.raises(InputError):
        archives.load_network(path)
    archives.load_network(saved)
    assert keras.layers.Layer.add_weight is before


def test_many_layers_are_counted_before_they_are_made(saved):
    def deepen(layers):
        layers += layers[1:2] * 6_000

    path = reconfigured(saved, deepen)
    with pytest.raises(InputError, match="layers, more than the 5,000"):
        archives.load_network(path)


def test_zeros_are_not_unpacked(saved):
    # 256 MiB in 260 kB, which Keras itself would unpack.
    path = saved.with_name("bomb.keras")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("model.weights.h5", "w", force_zip64=True) as entry:
            for _ in range(64):
                entry.write(bytes(4 * MIB))
        archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match="unpacks to 268,"):
        archives.load_network(path)


def test_a_description_of_brackets_is_refused(saved):
    text = "[" * 300_000 + "]" * 300_000
    path = changed(saved, lambda e: {**e, "config.json": text})
    with pytest.raises(InputError, match="nested more than"):
        archives.load_network(path)


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../up", "C:\\x"])
def test_entries_stay_in_the_archive(name, saved):
    path = changed(saved, lambda entries: {**entries, name: b"x"})
    with pytest.raises(InputError, match="a path inside the folder"):
        archives.load_network(path)


def test_two_entries_of_one_name_are_refused(saved):
    with pytest.warns(UserWarning, match="Duplicate name"):
        with zipfile.ZipFile(saved, "a") as archive:
            archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match="two entries of one name"):
        archives.load_network(saved)


def sparse(file):
    """4 GB that take no place: chunks that were never written."""
    file.create_dataset("w", (10**9,), "f4", chunks=(10**6,))


def packed(file):
    """A gigabyte in some kB."""
    made = file.create_dataset(
        "w", (2**28,), "f4", chunks=(2**22,), compression="gzip"
    )
    made[:1] = 1


def filled(file):
    """Declare an array of which nothing but the fill value is stored."""
    file.create_dataset("w", (2**31,), "f8", fillvalue=3, chunks=True)


@pytest.mark.parametrize("fill", [sparse, packed, filled])
def test_arrays_are_not_larger_than_what_is_stored(fill, saved, tmp_path):
    with pytest.raises(InputError, match="unpacks to"):
        archives.load_network(with_weights(saved, fill))
    old = tmp_path / "old.h5"
    old.write_bytes(hdf5(fill))
    with pytest.raises(InputError, match="unpacks to"):
        archives.load_network(old)


def external_link(file):
    file["w"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    file["w"] = h5py.SoftLink("/elsewhere")


def external_data(file):
    file.create_dataset("w", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual_data(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (4,))
    file.create_virtual_dataset("w", layout)


@pytest.mark.parametrize(
    "fill", [external_link, soft_link, external_data, virtual_data]
)
def test_hdf5_does_not_refer_to_other_files(fill, saved, network, tmp_path):
    with pytest.raises(InputError, match="elsewhere|another file"):
        archives.load_network(with_weights(saved, fill))
    path = tmp_path / "other.weights.h5"
    path.write_bytes(hdf5(fill))
    with pytest.raises(InputError, match="elsewhere|another file"):
        archives.load_weights(network, path)


def test_groups_in_a_circle_are_looked_at_once(saved):
    def circle(file):
        group = file.create_group("a")
        group["b"] = file["/a"]

    with pytest.raises(InputError):
        archives.load_network(with_weights(saved, circle))


def npz(path, shape, content):
    """An archive with one array of a declared shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1.weight.npy", header.getvalue() + content)
    return path


@pytest.mark.parametrize("shape", [(2**30,), (10**9, 10**9), (2,)])
def test_an_array_is_what_its_header_says(shape, tmp_path):
    path = npz(tmp_path / "a.npz", shape, bytes(16))
    with pytest.raises(InputError, match="declares the shape"):
        archives.load_arrays(path)
    archives.load_arrays(npz(path, (4,), bytes(16)))


def test_zeros_of_an_array_are_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(2**25, np.float32))
    with pytest.raises(InputError, match=r"a\.npz has .* unpacks to 134,"):
        archives.load_arrays(path)


def test_an_array_under_another_ending_is_looked_at(tmp_path):
    path = tmp_path / "a.npz"
    npz(path, (2**30,), b"")
    renamed = tmp_path / "b.npz"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(renamed, "w") as new:
        new.writestr("conv1.weight", old.read("conv1.weight.npy"))
    with pytest.raises(InputError, match="declares the shape"):
        archives.load_arrays(renamed)


def test_a_file_of_two_kinds_is_looked_at_as_it_is_read(saved, tmp_path):
    # HDF5 begins at a file's start, and an archive is found from its end.
    both = tmp_path / "both.h5"
    both.write_bytes(hdf5(sparse) + saved.read_bytes())
    assert zipfile.is_zipfile(both) and h5py.is_hdf5(both)
    with pytest.raises(InputError, match="unpacks to"):
        archives.load_network(both)
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (2**32,)}
    np.lib.format.write_array_header_1_0(header, shape)
    honest = npz(tmp_path / "a.npz", (4,), bytes(16)).read_bytes()
    both.with_suffix(".npz").write_bytes(header.getvalue() + honest)
    with pytest.raises(InputError, match="no archive of arrays"):
        archives.load_arrays(both.with_suffix(".npz"))


def test_names_alone_make_no_deep_network(tmp_path, monkeypatch):
    path = tmp_path / "deep.npz"
    arrays = {f"layer1.{n}.conv1.weight": np.zeros(1) for n in range(2_000)}
    np.savez(path, **{"linear.weight": np.zeros((10, 64))}, **arrays)
    monkeypatch.setattr(
        "keras_ft.zoo.torch_resnet.cifar_resnet", pytest.fail, raising=True
    )
    with pytest.raises(InputError, match="2,000 blocks in 2,001 arrays"):
        zoo.load_torch_resnet(path)


def test_a_limit_can_be_raised(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(2**25, np.float32))
    monkeypatch.setenv(FACTOR, "100")
    assert archives.Limits.of_today().ratio == 10_000
    # Looked at, not unpacked: it is within the limits now.
    with path.open("rb") as file:
        size = path.stat().st_size
        limits = archives.Limits.of_today()
        assert archives._check_zip(file, path, limits, size, arrays=True)


@pytest.mark.parametrize("word", ["much", "0", "nan", "1e9"])
def test_a_limit_is_a_number(word, saved, monkeypatch):
    monkeypatch.setenv(FACTOR, word)
    with pytest.raises(InputError, match="file_limits"):
        archives.load_network(saved)


def test_safe_mode_is_asked_for(saved, monkeypatch):
    seen = {}
    original = keras.models.load_model

    def load_model(path, **more):
        seen.update(more)
        return original(path, **more)

    monkeypatch.setattr(keras.models, "load_model", load_model)
    archives.load_network(saved)
    assert seen["safe_mode"] is True


def test_a_lambda_says_so(saved):
    def add(layers):
        layers[-1]["class_name"] = "Lambda"
        layers[-1]["config"] = {
            "name": "head",
            "function": {"class_name": "__lambda__", "config": {"code": ""}},
        }

    with pytest.raises(InputError, match="Lambda layers are not loaded"):
        archives.load_network(reconfigured(saved, add))


def test_the_innermost_reason_is_shown(saved):
    def misname(layers):
        layers[-1]["config"]["no_such_argument"] = 1

    with pytest.raises(InputError, match="no_such_argument") as caught:
        archives.load_network(reconfigured(saved, misname))
    assert "deserialized properly" not in caught.value.received


def test_weights_of_another_network_are_refused(network, tmp_path):
    path = tmp_path / "x.weights.h5"
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    other.save_weights(path)
    with pytest.raises(InputError, match=r"x\.weights\.h5"):
        archives.load_weights(network, path)
