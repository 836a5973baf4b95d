"""A run: one folder with settings, phases, artifacts and numbers."""

from keras_ft.distribution.placement import STRATEGIES as STRATEGIES
from keras_ft.distribution.placement import Placement as Placement
from keras_ft.experiments.benchmarked import BENCHMARK as BENCHMARK
from keras_ft.experiments.benchmarked import benchmark_files as benchmark_files
from keras_ft.experiments.benchmarked import benchmark_run as benchmark_run
from keras_ft.experiments.benchmarking import write_tables as write_tables
from keras_ft.experiments.compressing import (
    export_compressed as export_compressed,
)
from keras_ft.experiments.distillation import METRICS as METRICS
from keras_ft.experiments.distillation import distil as distil
from keras_ft.experiments.distillation import train_teacher as train_teacher
from keras_ft.experiments.exporting import export_file as export_file
from keras_ft.experiments.exporting import export_run as export_run
from keras_ft.experiments.handing_over import bundle_file as bundle_file
from keras_ft.experiments.handing_over import bundle_run as bundle_run
from keras_ft.experiments.phase_cost import PhaseCost as PhaseCost
from keras_ft.experiments.planning import plan as plan
from keras_ft.experiments.run_folder import RunFolder as RunFolder
from keras_ft.experiments.settings import Settings as Settings
from keras_ft.experiments.training_plan import TrainingPlan as TrainingPlan
from keras_ft.experiments.workbench import load_run_data as load_run_data
