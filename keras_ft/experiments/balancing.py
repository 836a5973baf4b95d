"""Phase 2's beta where the settings leave it open."""

import dataclasses
from typing import Any

from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.training import compile_model
from keras_ft.experiments.workbench import Workbench
from keras_ft.models.beta_suggestion import BetaSuggestion
from keras_ft.models.beta_suggestion import suggest_beta
from keras_ft.models.distiller import Distiller


def balance(
    bench: Workbench, model: Distiller, batches: Any = None
) -> dict[str, Any]:
    """Sets the factor's beta by `suggest_beta`, as `beta_ratio` asks.

    The first batch is asked once in the life of a run: `run.json` keeps the
    answer, and a run that is continued takes it from there.

    Args:
        bench: Of the run.
        model: Phase 2 before it begins.
        batches: Of its training, such as a `FeatureCache`; the dataset if
            left out.

    Returns:
        What to keep in the phase's result: the fields of `BetaSuggestion` as
        `beta`, or nothing where beta is the recipe's.

    Example:

    >>> balance(bench, model)["beta"]["beta"]
    433.4
    """
    ratio = bench.settings.beta_ratio
    if ratio is None:
        return {}
    found = bench.run.content["notes"].get("beta")
    if found is None:
        with bench.placement.scope():
            compile_model(model)
        stream = (batches or bench.main_data).train_from(0)
        suggestion = suggest_beta(model, stream, ratio=ratio)
        found = dataclasses.asdict(suggestion)
        bench.run.note("beta", found)
    bench.echo(f"distil: {BetaSuggestion(**found)}")
    model.transfers[0].beta = found["beta"]
    return {"beta": found}


def beta_of(run: RunFolder) -> float:
    """The factor's beta in a finished run: the recipe's, or the measured one.

    Example:

    >>> with RunFolder("runs/first") as run:
    ...     beta_of(run)
    500.0
    """
    measured = run.content["notes"].get("beta")
    if measured is not None:
        return float(measured["beta"])
    return float(run.configuration["recipe"]["beta"])
