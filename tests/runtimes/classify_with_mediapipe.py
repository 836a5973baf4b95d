"""Runs in MediaPipe's environment: classifies pictures as an app would.

Arguments: the .tflite file, and an .npy of uint8 pictures (N, H, W, 3). Prints
for each the names and scores of all classes, best first, as JSON.
"""

import json
import sys

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python import vision


def main(path, pictures):
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=path)
    )
    found = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for picture in np.load(pictures):
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=picture
            )
            (head,) = classifier.classify(image).classifications
            found.append([[c.category_name, c.score] for c in head.categories])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
