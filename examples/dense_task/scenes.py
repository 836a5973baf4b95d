"""Scenes to segment, composed from photos of garments."""

import keras
import numpy as np

SIZE, GARMENT, GARMENTS, PATCH = 48, 28, 3, 6
CLASSES = 11  # the background is class 0


class Scenes(keras.utils.PyDataset):
    """Batches of scenes (B, 48, 48, 1) and their classes (B, 48, 48).

    Three garments lie over each other on a patchwork of random grays. A pixel's
    class is 1 plus the label of the garment on top, or 0.

    Args:
        garments: Images (N, 28, 28, 1), normalized, and labels (N,).
        scenes: How many make an epoch; what fills no batch is left out.
        seed: The same seed gives the same scenes in the same order.
        anew: Whether each epoch has scenes of its own.
        batch_size: Scenes per batch.
        pool: So many scenes have classes, the same in all epochs; `None` for
            all scenes. The classes of the others are -1.
        labelled_per_batch: Scenes of the pool in a batch; `None` for all.
    """

    def __init__(
        self,
        garments,
        scenes,
        seed,
        anew=True,
        batch_size=16,
        pool=None,
        labelled_per_batch=None,
    ):
        super().__init__()
        self.images, self.labels = garments
        # Black in the photos; a little above it begins the garment.
        self.bodies = self.images[..., 0] > self.images.min() + 0.15
        self.scenes, self.seed, self.anew = scenes, seed, anew
        self.batch_size, self.epoch = batch_size, 0
        self.pool = pool
        self.labelled_per_batch = labelled_per_batch or batch_size

    def __len__(self):
        return self.scenes // self.batch_size

    def __getitem__(self, index):
        random = np.random.default_rng((self.seed, self.epoch, index))
        pairs = [self.scene(random, n) for n in range(self.batch_size)]
        images, classes = zip(*pairs, strict=True)
        return np.stack(images)[..., None], np.stack(classes)

    def on_epoch_end(self):
        self.epoch += self.anew

    def scene(self, random, place):
        """Return a scene and its classes for a place in a batch."""
        if self.pool is None:
            return self.compose(random)
        if place < self.labelled_per_batch:
            number = int(random.integers(self.pool))
            return self.compose(np.random.default_rng((self.seed, number)))
        scene, classes = self.compose(random)
        return scene, np.full_like(classes, -1)

    def compose(self, random):
        """Return one scene (48, 48) and its classes (48, 48)."""
        grays = random.uniform(-0.8, 0.8, (SIZE // PATCH, SIZE // PATCH))
        scene = np.kron(grays, np.ones((PATCH, PATCH)))
        scene += random.normal(0, 0.2, scene.shape)
        classes = np.zeros(scene.shape, "int32")
        for which in random.integers(len(self.labels), size=GARMENTS):
            top, left = random.integers(SIZE - GARMENT + 1, size=2)
            place = np.s_[top : top + GARMENT, left : left + GARMENT]
            flip = np.s_[:, :: random.choice((-1, 1))]
            body = self.bodies[which][flip]
            scene[place][body] = self.images[which, ..., 0][flip][body]
            classes[place][body] = 1 + self.labels[which]
        return scene.astype("float32"), classes
