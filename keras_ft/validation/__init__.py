"""Check what a user hands in, before the first training step.

| file | looks at |
|---|---|
| `parameters` | single values, by constraints that are data |
| `models` | teacher and student: built, finite, of one input |
| `data` | images, before a step |
| `labels` | labels and loss against the student's outputs |
| `in_graph` | each batch and loss, within TensorFlow's step |
| `strategies` | what a `tf.distribute` strategy can run |
| `installed` | optional packages |
"""
