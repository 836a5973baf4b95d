"""Runs on any machine with LiteRT: what the files say of the pictures.

Arguments: the .npz to write, an .npy of uint8 pictures (N, H, W, 3), and
.tflite files. The .npz holds an array for each file under its name without
.tflite, one row per picture. Prints the machine's architecture.
"""

import platform
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def classify(path, pictures):
    interpreter = Interpreter(model_path=path, num_threads=1)
    runner = interpreter.get_signature_runner("classify")
    ((name, wanted),) = runner.get_input_details().items()
    rows = []
    for picture in pictures.astype(wanted["dtype"]):
        (row,) = runner(**{name: picture[np.newaxis]}).values()
        rows.append(row[0])
    return np.stack(rows)


def main(out, pictures, *paths):
    pictures = np.load(pictures)
    answers = {Path(path).stem: classify(path, pictures) for path in paths}
    np.savez(out, **answers)
    print(platform.machine())


if __name__ == "__main__":
    main(*sys.argv[1:])
