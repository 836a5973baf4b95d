"""Run one step of a comparison in a process of its own for `compare`."""

import pickle
import sys
from pathlib import Path

from keras_ft.experiments.comparison.compare import JOB
from keras_ft.experiments.comparison.compare import REASON
from keras_ft.experiments.comparison.compare import attempt
from keras_ft.experiments.comparison.trainings import Trainings


def main(folder: str) -> int:
    """Do the job that lies in a folder, and leave the reason if it fails.

    Returns:
        The exit code: 0 done, 1 failed, 130 interrupted.
    """
    job = Path(folder) / JOB
    plan, step, arguments = pickle.loads(job.read_bytes())
    try:
        trainings = Trainings.load(plan, lambda line: print(line, flush=True))
        reason = attempt(trainings, step, arguments)
    except KeyboardInterrupt:
        return 130  # Ctrl-C goes to the whole group; the parent tells.
    if reason is None:
        return 0
    (Path(folder) / REASON).write_text(reason, encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
