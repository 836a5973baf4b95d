"""Files changed at random, and what reads them: an answer in one sentence.

    python tests/mutated_files.py RUN FIRST COUNT

changes COUNT files, from seed FIRST on, gives each to a command or to
`FeatureCache.open`, and prints a line of JSON for each: what was changed, the
exit code, what was said, seconds, and by how much its memory grew. RUN is the
folder of a finished `keras-ft distill` on the embedded images.

Half of the changes are made by somebody who knows the format: archives get
their check sums and sealed files their digests anew.
"""

import contextlib
import io
import json
import os
import runpy
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np

# Ways to damage bytes, that of a model's own format left out.
_BYTES = runpy.run_path(str(Path(__file__).parent / "cli" / "mutations.py"))
_DAMAGE = [_BYTES[n] for n in ("truncated", "flipped", "zeroed", "spliced")]
_ODD = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1e308,
    float("nan"),
    "",
    "x" * 10_000,
    "../../etc/passwd",
    "/dev/zero",
    "Lambda",
    [],
    {},
    [[[[[]]]]],
)
_SEAL = "sha256_of_this_file"


def _any(values, random):
    return values[random.integers(len(values))]


def changed_bytes(content, random):
    """Return other bytes; the format is not known."""
    if not content:
        return b"x"
    return _any(_DAMAGE, random)(content, random)


def changed_values(content, random):
    """Return JSON values with one to three changed, removed or renamed."""
    content = json.loads(json.dumps(content))
    for _ in range(random.integers(1, 4)):
        places = list(_places(content))
        if not places:
            break
        owner, key = _any(places, random)
        how = random.integers(4)
        if how == 0:
            del owner[key]
        elif how == 1 and isinstance(owner, dict):
            owner[f"{key} "] = owner.pop(key)
        elif how == 2 and type(owner[key]) in (int, float):
            owner[key] = owner[key] * float(10.0 ** random.integers(-3, 12))
            owner[key] = _any((owner[key], int(owner[key])), random)
        else:
            owner[key] = _any(_ODD, random)
    return content


def _places(content):
    """Yield every key of every object, and a few of each list."""
    if isinstance(content, dict):
        keys = list(content)
    else:
        keys = list(range(min(len(content), 3)))
    for key in keys:
        yield content, key
        if isinstance(content[key], (dict, list)):
            yield from _places(content[key])


def changed_json(content, random):
    """Return another sealed JSON file."""
    from keras_ft import artifacts

    if random.random() < 0.5:
        return changed_bytes(content, random)
    values = json.loads(content)
    del values[_SEAL]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sealed.json"
        artifacts.write_json(path, changed_values(values, random), sealed=True)
        return path.read_bytes()


def changed_archive(content, random):
    """Return another zip archive."""
    if random.random() < 0.3:
        return changed_bytes(content, random)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = _any(sorted(entries), random)
    if "config.json" in entries and random.random() < 0.5:
        name = "config.json"
    how = random.integers(8)
    if how == 0:
        del entries[name]
    elif how == 1:
        entries[_any(("../x", "/x", f"{name}x"), random)] = entries.pop(name)
    elif name.endswith(".json") and how < 7:
        values = changed_values(json.loads(entries[name]), random)
        entries[name] = json.dumps(values).encode()
    else:
        entries[name] = changed_bytes(entries[name], random)
    packed = io.BytesIO()
    how = _any((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), random)
    with zipfile.ZipFile(packed, "w", how) as archive:
        for name, part in entries.items():
            archive.writestr(name, part)
    return packed.getvalue()


class Place:
    """Whole files of each kind, and a folder to put changed ones in.

    Args:
        folder: Where to work.
        run: A finished run.
    """

    def __init__(self, folder, run):
        self.folder, self.run = Path(folder), Path(run)
        self.network = self.run / "student.keras"
        self.arrays = self.folder / "whole.npz"
        self.cache = self.folder / "cache"
        _save_arrays(self.arrays)
        self.data, self.teacher = _save_cache(self.cache, self.run)

    def changed(self, number):
        """Return the name of a change, and a function that asks for answers.

        Args:
            number: The seed; kinds follow each other.
        """
        kind = KINDS[number % len(KINDS)]
        random = np.random.default_rng(number)
        return kind, getattr(self, f"_{kind}")(random)

    def _fresh(self, source):
        """Return a copy of a folder, under the same name every time."""
        copy = self.folder / "changed"
        shutil.rmtree(copy, ignore_errors=True)
        return shutil.copytree(source, copy)

    def _network(self, random):
        path = self.folder / "changed.keras"
        path.write_bytes(changed_archive(self.network.read_bytes(), random))
        return ["taps", f"--model={path}"], lambda: _networks().load(path)

    def _arrays(self, random):
        path = self.folder / "changed.npz"
        path.write_bytes(changed_archive(self.arrays.read_bytes(), random))
        words = ["taps", f"--model={path}"]
        return words, lambda: _networks().teacher(str(path))

    def _run_file(self, random):
        return self._in_run("run.json", random)

    def _manifest(self, random):
        return self._in_run("manifest.json", random)

    def _in_run(self, name, random):
        run = self._fresh(self.run)
        content = (run / name).read_bytes()
        (run / name).write_bytes(changed_json(content, random))
        words = ["export", f"--run_dir={run}", "--quantization=none"]
        if random.random() < 0.5:
            words = ["benchmark", f"--run_dir={run}", "--runs=1"]
            words += ["--threads=1", "--test_examples=8"]
        return words, lambda: _read_run(run)

    def _cache_file(self, random):
        from keras_ft.feature_cache import FeatureCache

        cache = self._fresh(self.cache)
        names = sorted(path.name for path in cache.glob("*.*"))
        name = "manifest.json"
        if random.random() < 0.4:
            name = _any(names, random)
        content = (cache / name).read_bytes()
        change = changed_json if name == "manifest.json" else changed_bytes
        (cache / name).write_bytes(change(content, random))

        def read():
            opened = FeatureCache.open(cache, self.teacher, self.data)
            for _ in opened.train_from(0).take(1):
                pass

        return None, read


KINDS = ("network", "arrays", "run_file", "manifest", "cache_file")


def _networks():
    from keras_ft.experiments import networks

    return networks


def _read_run(folder):
    from keras_ft.experiments.run_folder import RunFolder
    from keras_ft.experiments.run_folder import read_metrics
    from keras_ft.experiments.training import read_history

    with RunFolder(folder) as run:
        run.check_command("distill")
        for phase in run.content["phases"]:
            run.verify(phase)
        read_metrics(folder)
        read_history(folder, "ft")


def _save_arrays(path):
    from keras_ft import zoo
    from keras_ft.zoo import torch_resnet

    network = zoo.resnet8(classes=2)
    arrays = {}
    for name, variable in torch_resnet._targets(network).items():
        array = np.asarray(variable)
        axes = (3, 2, 0, 1) if array.ndim == 4 else None
        arrays[name] = array.transpose(axes)
    np.savez(path, **arrays)


def _save_cache(folder, run):
    import keras_ft
    from keras_ft.experiments import networks

    teacher = networks.load(run / "teacher.keras")
    data = keras_ft.data.load("fashion_mini", train_examples=64, batch_size=32)
    keras_ft.FeatureCache.build(folder, teacher, data, views=1, echo=None)
    return data, teacher


def answer(words, read, as_command):
    """Return the exit code and what was said.

    Args:
        words: Of a command; `None` where no command reads the file.
        read: Does what the command does with the file.
        as_command: Whether to run the command.
    """
    from keras_ft import InputError
    from keras_ft.cli.main import main

    if as_command and words is not None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            with contextlib.redirect_stdout(io.StringIO()):
                return main(words), said.getvalue().strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except InputError as error:
        return 2, str(error)
    return 0, ""


def complaint(code, said):
    """Return what is wrong with an answer, or ""."""
    if code not in (0, 2):
        return f"exit code {code}"
    if code == 2 and len(said.splitlines()) != 1:
        return "not one line"
    if len(said) > 2_000:
        return f"{len(said)} letters"
    return ""


def main(run, first, count):
    import keras

    from keras_ft.experiments import peak_memory

    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, run)
        for number in range(first, first + count):
            kind, (words, read) = place.changed(number)
            peak_memory.forget()
            resident, _ = peak_memory.measured()
            begun = time.monotonic()
            try:
                code, said = answer(words, read, as_command=True)
            except BaseException as error:  # What a user would see as a trace.
                code, said = 1, f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - begun
            peak, _ = peak_memory.measured()
            row = {
                "number": number,
                "kind": kind,
                "code": code,
                "said": said[:3_000],
                "seconds": round(seconds, 2),
                "memory": peak - resident,
            }
            print(json.dumps(row), flush=True)
            keras.utils.clear_session()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
