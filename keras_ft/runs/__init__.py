"""A run: one folder with settings, phases, artefacts and numbers."""

from keras_ft.runs.benchmarked import BENCHMARK as BENCHMARK
from keras_ft.runs.benchmarked import benchmark_files as benchmark_files
from keras_ft.runs.benchmarked import benchmark_run as benchmark_run
from keras_ft.runs.benchmarking import write_tables as write_tables
from keras_ft.runs.compressing import export_compressed as export_compressed
from keras_ft.runs.distillation import METRICS as METRICS
from keras_ft.runs.distillation import distil as distil
from keras_ft.runs.distillation import train_teacher as train_teacher
from keras_ft.runs.exporting import export_file as export_file
from keras_ft.runs.exporting import export_run as export_run
from keras_ft.runs.handing_over import bundle_file as bundle_file
from keras_ft.runs.handing_over import bundle_run as bundle_run
from keras_ft.runs.phase_cost import PhaseCost as PhaseCost
from keras_ft.runs.placement import STRATEGIES as STRATEGIES
from keras_ft.runs.placement import Placement as Placement
from keras_ft.runs.planning import plan as plan
from keras_ft.runs.run_folder import RunFolder as RunFolder
from keras_ft.runs.settings import Settings as Settings
from keras_ft.runs.training_plan import TrainingPlan as TrainingPlan
from keras_ft.runs.workbench import load_run_data as load_run_data
