"""The taps of a run's factor term: they stay those that it was begun with."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.run_folder import history
from keras_ft.experiments.run_folder import read_content
from keras_ft.features.taps import Tap
from keras_ft.features.taps import former_default

NOTE = "taps"


def layer(run: RunFolder, side: str, network: keras.Model) -> str | None:
    """Return the name of a run's tap; None for the network's default.

    Args:
        run: Its folder, entered.
        side: `"teacher"` or `"student"`.
        network: That network, or one like it.
    """
    # A run that has begun its first phase without noting its taps is of a
    # version that did not.
    begun = (run.path / history("paraphrase")).is_file()
    asked = run.configuration[f"{side}_layer"]
    # A worker that is not the chief finds them in the chief's file.
    notes = run.content["notes"] or read_content(run.path)["notes"]
    return choose(asked, notes, begun, side, network)


def choose(
    asked: str | None,
    notes: Mapping[str, Any],
    begun: bool,
    side: str,
    network: keras.Model,
) -> str | None:
    """Return the tap that was asked for, or noted, or the former default.

    Args:
        asked: As in the settings.
        notes: Of the run's `run.json`.
        begun: Whether a run without a note has been trained already.
        side, network: As for `layer`.
    """
    if asked is not None:
        return asked
    if NOTE in notes:
        noted: str = notes[NOTE][side]
        return noted
    return former_default(network) if begun else None


def note(run: RunFolder, pairs: Mapping[str, tuple[Tap, Tap]]) -> None:
    """Keep the taps of a run's factor term, if it has one."""
    if "factor" in pairs and NOTE not in run.content["notes"]:
        teacher, student = pairs["factor"]
        run.note(NOTE, {"teacher": teacher.name, "student": student.name})
