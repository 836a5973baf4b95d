"""Compares .tflite files: size, speed in LiteRT, and who is right.

Each file runs in a process of its own, so a damaged one costs only its row.
With --run_dir or --output the results are kept as JSON, CSV and a page with a
plot; a run's own report shows them as well.

examples:
  keras-ft benchmark --run_dir=runs/demo
  keras-ft benchmark --tflite=a.tflite,b.tflite
  keras-ft benchmark --tflite=a.tflite,b.tflite --student=student.keras \\
      --dataset=cifar10 --output=comparison
"""

from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal
from keras_ft.errors import InputError
from keras_ft.tables import text_table

_BEST = "*"


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    absl_flags.DEFINE_list(
        "tflite",
        [],
        "The files, separated by commas; by default all in --run_dir.",
        flag_values=values,
    )
    _define_images(values)
    absl_flags.DEFINE_list(
        "threads",
        ["1", "2"],
        "Numbers of threads to time each file with.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "runs",
        200,
        "Runs to time for each number of threads, after a warm-up.",
        lower_bound=1,
        flag_values=values,
    )
    absl_flags.DEFINE_float(
        "time_limit",
        600.0,
        "Seconds that a file may take to be timed, and again to answer.",
        lower_bound=1.0,
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "output",
        None,
        "Folder for the results, instead of --run_dir.",
        flag_values=values,
    )


def _define_images(values: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_string(
        "run_dir",
        None,
        "A run folder of distill; its student and its dataset are used.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "student",
        None,
        "A .keras file whose answers the files should give, instead of "
        "--run_dir.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "dataset",
        None,
        "Without --run_dir: where the test images come from; without it only "
        "size and speed are measured.",
        flag_values=values,
    )
    flags.define_data_dir(values)
    flags.define_image_files(values)
    absl_flags.DEFINE_integer(
        "test_examples",
        10_000,
        "At most so many test images.",
        lower_bound=1,
        flag_values=values,
    )


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Compare, print the table, keep the results."""
    _check(values)
    threads = _threads(values)
    with terminal.quiet_start():
        from keras_ft import experiments

    measurement = {
        "data_dir": values["data_dir"].value,
        "test_examples": values["test_examples"].value,
        "threads": threads,
        "runs": values["runs"].value,
        "seconds": values["time_limit"].value,
        "echo": lambda path: terminal.echo(f"running {path}"),
    }
    paths, run_dir = values["tflite"].value, values["run_dir"].value
    output = values["output"].value
    if run_dir is not None:
        content = experiments.benchmark_run(
            run_dir, paths, record=output is None, **measurement
        )
    else:
        content = experiments.benchmark_files(
            paths,
            values["student"].value,
            values["dataset"].value,
            **flags.image_files(values),
            **measurement,
        )
    terminal.echo("")
    for line in lines(content):
        terminal.echo(line)
    _keep(values, content)
    _refuse_failures(content)


def _check(values: absl_flags.FlagValues) -> None:
    run_dir = values["run_dir"].value
    if run_dir is None and not values["tflite"].value:
        raise InputError(
            "--tflite",
            "no file",
            "files, or a run folder that has some",
            "Write --tflite=a.tflite,b.tflite or --run_dir=FOLDER.",
        )
    for name in ("student", "dataset", *flags.image_files(values)):
        if run_dir is not None and values[name].present:
            raise InputError(
                f"--{name}",
                f"{values[name].value} with --run_dir={run_dir}",
                "one of the two",
                f"Leave out --{name}: the run has its own.",
            )


def _threads(values: absl_flags.FlagValues) -> tuple[int, ...]:
    words = values["threads"].value
    if not words or not all(w.isdecimal() and int(w) > 0 for w in words):
        raise InputError(
            "--threads",
            ",".join(words) or "none",
            "numbers of 1 or more, separated by commas",
            "Write --threads=1,2.",
        )
    return tuple(dict.fromkeys(map(int, words)))


def _keep(values: absl_flags.FlagValues, content: dict[str, Any]) -> None:
    from keras_ft import experiments
    from keras_ft import report

    output, run_dir = values["output"].value, values["run_dir"].value
    if output is not None:
        experiments.write_tables(output, content)
        page = report.write_benchmark(output, content)
    elif (
        run_dir is not None and (Path(run_dir) / experiments.METRICS).is_file()
    ):
        page = report.write(run_dir, values["data_dir"].value)
    else:
        return
    terminal.echo(f"{page}  (benchmark.json and benchmark.csv beside it)")


def _refuse_failures(content: dict[str, Any]) -> None:
    failed = [row["file"] for row in content["files"] if row["error"]]
    if failed:
        raise InputError(
            "--tflite",
            f"{', '.join(failed)} with errors, see the table",
            "files that LiteRT can run on these images",
            "The results of the others stand.",
        )


def lines(content: dict[str, Any]) -> list[str]:
    """Return a benchmark as a table and remarks.

    Args:
        content: What `experiments.benchmark_run` or `benchmark_files`
            returned.
    """
    keras = content["keras_accuracy"]
    head = ["file", "", "bytes", "gzip bytes"]
    head += ["as Keras"] if keras is not None else []
    head += ["accuracy"] if content["dataset"] is not None else []
    for threads in content["threads"]:
        head.append(f"{threads} thread{'s' if threads > 1 else ''}")
    rows, failed = [], []
    for row in content["files"]:
        cells = [row["file"], _BEST if row["pareto"] else ""]
        cells += [f"{row['bytes']:,}", f"{row['gzip_bytes'] or 0:,}"]
        if keras is not None:
            cells.append(_share(row["agreement"], 1))
        if content["dataset"] is not None:
            cells.append(_share(row["accuracy"], 2))
        timed = {it["threads"]: it["median_ms"] for it in row["latency"]}
        for threads in content["threads"]:
            cells.append(
                f"{timed[threads]:.3f} ms" if threads in timed else "-"
            )
        rows.append(cells)
        if row["error"]:
            what = "" if row["latency"] else "not run: "
            failed.append(f"{row['file']}: {what}{row['error']}")
    return [*text_table([head, *rows]), *failed, "", *_remarks(content)]


def _share(share: float | None, digits: int) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _remarks(content: dict[str, Any]) -> list[str]:
    remarks = [
        f"Latency: median of {content['runs']} runs on {content['machine']}."
    ]
    if content["dataset"] is not None:
        keras = content["keras_accuracy"]
        also = "" if keras is None else f"; Keras: {keras:.2%}"
        remarks.append(
            f"Accuracy: on {content['test_examples']:,} test images of "
            f"{content['dataset']}{also}."
        )
    if any(row["pareto"] for row in content["files"]):
        remarks.append(
            f"{_BEST} no other file is at least as good in accuracy, latency "
            "and size, and better in one."
        )
    return remarks
