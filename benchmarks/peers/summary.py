"""Turn the times of all turns into figures, and into a table."""

import statistics

HOW = (
    "Each contender is a process of its own. All stay loaded and take turns "
    "in an order that is shuffled each round, one computing while the others "
    "wait. A turn is one training step, then {steps}; on Keras each is a whole "
    "`fit`. **ms** is the time of the longer one over its steps, nothing "
    "subtracted; **ratio** is that over the first row's in the same round. "
    "Both are medians over {rounds} rounds, with the minimum and the 10-90 % "
    "range. **Long fit** is the median ratio of what a further step takes, "
    "(longer - shorter) / ({steps} - 1), as in epochs of hundreds of steps: "
    "what `fit` does once weighs nothing there. Memory is the peak of the "
    "process (VmHWM), and what of it the imports alone take. Weights and "
    "images are random, which step time does not depend on: batch {batch}, "
    "images of 32x32x3 in memory, 10 classes, rate 0.5, SGD with momentum and "
    "weight decay, loss and metrics of every step computed."
)
NOTES = {
    2: """\
- *Keras*: plain `fit` and Keras' Distiller with Keras' SGD, FactorTransfer
  with `CoupledSGD`, as in its recipes. With bfloat16 the policy is
  `mixed_bfloat16` for all but the teacher, which is loaded in float32.
  *Cached*: batches carry the teacher's features in float32, as a
  `FeatureCache` hands them out; the paraphraser runs in every step.
- *Keras' Distiller*: `FeatureDistillation("mse")` between the same two feature
  maps; they have equal channels, so no projection.
- *torchdistill*: the package's wrappers, loss and DistillationBox with the
  settings of its published configuration for Factor Transfer, float32. Fed
  with ready batches instead of its data loader, and with a teacher in
  inference mode, where its example leaves it in training mode: both make it
  faster.
- *PyTorch*: the authors' loop. float32 as published, NCHW, autograd recording
  the teacher; bfloat16 with autocast, channels last and no gradients for the
  teacher.
""",
    1: """\
- *Keras*: `CoupledSGD`, L1, as in the official recipe. *Cached*: batches carry
  the teacher's features in float32, as a `FeatureCache` hands them out.
- *PyTorch*: the authors' loop. float32 as published, NCHW, autograd recording
  the teacher; bfloat16 with autocast, channels last and no gradients for the
  teacher.
""",
}
BUSY = (
    "**Not a measurement**: other processes used {:.0f} % of all cores. Not "
    "every contender suffers alike from that; PyTorch's OpenMP threads, which "
    "spin while they wait for each other, suffer many times more."
)
# Share of all cores that others may use before the table says so.
MUCH = 0.1
COLUMNS = (
    "contender",
    "ms",
    "min",
    "10-90 %",
    "ratio",
    "min",
    "10-90 %",
    "long fit",
    "peak MB",
    "imports",
)


def per_step(times, steps):
    """Return milliseconds per step by turn: in whole fits, and further ones.

    Args:
        times: By contender, seconds of one step and of `steps` in each turn;
            None where the turn failed.
        steps: In the longer one.
    """
    whole, further = {}, {}
    for name, turns in times.items():
        whole[name] = [t and 1000 * t[1] / steps for t in turns]
        further[name] = [
            t and 1000 * (t[1] - t[0]) / (steps - 1) for t in turns
        ]
    return whole, further


def figures(whole, further, baseline):
    """Return statistics of every contender that has at least two timed rounds.

    Args:
        whole, further: From `per_step`.
        baseline: Name of the contender that the ratios are to.
    """
    found = {}
    for name, each in whole.items():
        measured = [value for value in each if value is not None]
        if len(measured) < 2:
            continue
        long = ratios(further[name], further.get(baseline, []))
        found[name] = {
            **spread(measured, "ms"),
            **spread(ratios(each, whole.get(baseline, [])), "ratio"),
            **spread(long, "ratio_long_fit"),
            "all_ms": measured,
            "all_ms_further_step": [
                value for value in further[name] if value is not None
            ],
        }
    return found


def ratios(values, others):
    """Return one time over another, round by round."""
    pairs = zip(values, others, strict=False)
    return [a / b for a, b in pairs if a is not None and b is not None]


def spread(values, unit):
    if len(values) < 2:
        return {}
    low, *_, high = statistics.quantiles(values, n=10, method="inclusive")
    return {
        f"median_{unit}": statistics.median(values),
        f"minimum_{unit}": min(values),
        f"p10_{unit}": low,
        f"p90_{unit}": high,
    }


def times_faster(values, ours):
    """Return how many times a peer's time ours is, median over the rounds."""
    found = {}
    for peer, theirs in values.items():
        if peer in ours:
            continue
        for name in ours:
            each = ratios(theirs, values.get(name, []))
            if len(each) > 1:
                found.setdefault(peer, {})[name] = statistics.median(each)
    return found


def table(results):
    """Return the results for people, in Markdown."""
    phase = results["phase"]
    what = {1: "the paraphraser (phase 1)", 2: "the student (phase 2)"}[phase]
    networks = f"{results['teacher']} to {results['student']}"
    lines = [f"# Step time of training {what}: {networks}", ""]
    if results["toy"]:
        lines += ["A toy run: it shows that the script runs, not how fast.", ""]
    if results["others"] > MUCH:
        lines += [BUSY.format(100 * results["others"]), ""]
    lines += [
        HOW.format(**results),
        "",
        *rows(results),
        "",
        *faster_rows(results),
        NOTES[phase].strip(),
        "",
        circumstances(results),
        *accelerated(results),
    ]
    return "\n".join(lines) + "\n"


def row(cells):
    return f"| {' | '.join(cells)} |"


def rows(results):
    yield row(COLUMNS)
    yield "|---" * len(COLUMNS) + "|"
    for name, label in results["labels"].items():
        failed = results["failed"].get(name)
        if failed:
            blank = [""] * (len(COLUMNS) - 2)
            reason = failed.replace("|", "/")
            yield row([label, f"failed: {reason}", *blank])
        elif name in results["figures"]:
            memory = results["peak_mb"][name], results["import_mb"][name]
            cells = (
                *times(results["figures"][name]),
                *map("{:.0f}".format, memory),
            )
            yield row([label, *cells])


def times(found):
    for unit, digits in (("ms", 1), ("ratio", 2)):
        if f"median_{unit}" not in found:
            yield from ["", "", ""]
            continue
        median, least, low, high = (
            f"{found[f'{which}_{unit}']:.{digits}f}"
            for which in ("median", "minimum", "p10", "p90")
        )
        yield from [median, least, f"{low}-{high}"]
    long = found.get("median_ratio_long_fit")
    yield "" if long is None else f"{long:.2f}"


def faster_rows(results):
    """Return a table of peers' times over ours."""
    ours, labels = results["ours"], results["labels"]
    if not results["faster"]:
        return
    yield "The time of each row over that of ours, median of the rounds:"
    yield ""
    yield row(["", *(labels[name] for name in ours)])
    yield "|---" * (len(ours) + 1) + "|"
    for peer, each in results["faster"].items():
        cells = [f"{each[n]:.2f}" if n in each else "" for n in ours]
        yield row([labels[peer], *cells])
    yield ""


def circumstances(results):
    versions = {}
    for facts in results["facts"].values():
        versions.update(facts["versions"])
    named = ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))
    machine = results["machine"]
    idle = max(results["idle"].values(), default=0)
    return (
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{' '.join(machine['flags'])}; {named}; OMP_WAIT_POLICY "
        f"{results['wait_policy'] or 'unset'}. While waiting, a contender used "
        f"at most {100 * idle:.1f} % of a core; other processes used "
        f"{100 * results['others']:.0f} % of all cores during the measurement."
    )


def accelerated(results):
    """Return what `acceleration` chose, row by row."""
    for name, facts in results["facts"].items():
        if facts.get("accelerated"):
            chosen = facts["accelerated"]
            yield ""
            yield (
                f"{results['labels'][name]}: teacher {chosen['teacher']}; "
                f"student {chosen['student']}."
            )
