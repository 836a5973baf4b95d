"""Training on several machines, on TensorFlow's own collectives.

Keras 3's `fit` does not run under `MultiWorkerMirroredStrategy`. `fit` here
is the loop that does, over the model's own `train_step` and `test_step`.
Start the same program on every machine with `TF_CONFIG` set by your launcher;
`examples/launch_workers.py` starts several on one machine.
"""

from keras_ft.distribution.cluster import WorkerLostError as WorkerLostError
from keras_ft.distribution.cluster import is_chief as is_chief
from keras_ft.distribution.cluster import strategy as strategy
from keras_ft.distribution.fit import fit as fit
