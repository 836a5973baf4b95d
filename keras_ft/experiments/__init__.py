"""Runs: one folder with settings, trainings, files and numbers.

`distill` and `train_teacher` make one, `export_run` and `benchmark_run` work
on it, `comparison` makes many.
"""

from keras_ft.experiments.benchmark import BENCHMARK as BENCHMARK
from keras_ft.experiments.benchmark import benchmark_files as benchmark_files
from keras_ft.experiments.benchmark import benchmark_run as benchmark_run
from keras_ft.experiments.benchmark import write_tables as write_tables
from keras_ft.experiments.datasets import load_run_data as load_run_data
from keras_ft.experiments.distill import distill as distill
from keras_ft.experiments.distill import train_teacher as train_teacher
from keras_ft.experiments.exporting import bundle_file as bundle_file
from keras_ft.experiments.exporting import bundle_run as bundle_run
from keras_ft.experiments.exporting import (
    export_compressed as export_compressed,
)
from keras_ft.experiments.exporting import export_file as export_file
from keras_ft.experiments.exporting import export_run as export_run
from keras_ft.experiments.plan import plan as plan
from keras_ft.experiments.run_folder import METRICS as METRICS
from keras_ft.experiments.run_folder import RunFolder as RunFolder
from keras_ft.experiments.run_folder import read_metrics as read_metrics
from keras_ft.experiments.settings import Settings as Settings
