"""The official Factor Transfer recipe as a plain PyTorch loop.

Written after the authors' `train_student.py` and `train_Paraphraser.py`
(Jangho-Kim/Factor-Transfer-pytorch): two optimizers, L1 distance of the
normalized factors, the loss and the number of right answers read every step.
In float32 it is as published: NCHW, and autograd records the teacher's pass,
which nothing uses. In bfloat16 it is what someone in a hurry would make of it:
autocast, channels last, no gradients for teacher and paraphraser.
"""

import contextlib

import contenders
import torch
import torch_networks
from torch import nn
from torch.nn import functional

BATCHES = 4


class Paraphraser(nn.Module):
    """Three convolutions down to the factor, three transposed ones back.

    Args:
        channels: Of the features; the factor has `RATE` times as many.
    """

    def __init__(self, channels):
        super().__init__()
        code = round(channels * contenders.RATE)
        self.encoder = tower(nn.Conv2d, channels, channels, code, code)
        self.decoder = tower(nn.ConvTranspose2d, code, code, channels, channels)


def tower(kind, *widths):
    layers = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [kind(before, after, 3, padding=1), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)


def normalized(factor):
    return functional.normalize(factor.flatten(1).float())


class Loop:
    """Both phases of the recipe.

    Args:
        task: What compare.py asked for.
    """

    def __init__(self, task):
        torch.manual_seed(0)
        self.fast = task["options"]["bfloat16"]
        layout = torch.channels_last if self.fast else torch.contiguous_format
        self.teacher = torch_networks.build(task["teacher"]).eval()
        self.student = torch_networks.build(task["student"]).train()
        self.parameters = [
            torch_networks.trainable(network)
            for network in (self.teacher, self.student)
        ]
        wide, narrow = self.teacher.channels, self.student.channels
        self.paraphraser = Paraphraser(wide)
        code = round(wide * contenders.RATE)
        self.translator = tower(nn.Conv2d, narrow, narrow, code, code)
        for module in (
            self.teacher,
            self.student,
            self.paraphraser,
            self.translator,
        ):
            module.to(memory_format=layout)
        generator = torch.Generator().manual_seed(1)
        shape = (BATCHES, task["batch"], 3, *contenders.IMAGE[:2])
        self.images = [
            batch.to(memory_format=layout)
            for batch in torch.randn(shape, generator=generator)
        ]
        self.labels = torch.randint(
            contenders.CLASSES, shape[:2], generator=generator
        )
        self.features = None
        if task["options"]["cached"]:
            with torch.no_grad():
                self.features = [self.teacher.body(x) for x in self.images]

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.fast)

    def constants(self):
        """Leave gradients out where they are of no use and may be left out."""
        return torch.no_grad() if self.fast else contextlib.nullcontext()

    def teacher_features(self, index):
        if self.features is not None:
            return self.features[index]
        return self.teacher.features_and_logits(self.images[index])[0]

    def train_student(self):
        """Return a function that takes one step of phase 2 on a batch."""
        optimizers = [sgd(self.student), sgd(self.translator)]
        self.paraphraser.eval()

        def step(index):
            for optimizer in optimizers:
                optimizer.zero_grad()
            with self.autocast():
                with self.constants():
                    features = self.teacher_features(index)
                    target = self.paraphraser.encoder(features)
                tapped, logits = self.student.features_and_logits(
                    self.images[index]
                )
                factor = self.translator(tapped)
            labels = self.labels[index]
            loss = contenders.BETA * functional.l1_loss(
                normalized(factor), normalized(target.detach())
            ) + functional.cross_entropy(logits.float(), labels)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            right = logits.detach().argmax(1).eq(labels).sum()
            return loss.item(), right.item()

        return step

    def train_paraphraser(self):
        """Return a function that takes one step of phase 1 on a batch."""
        optimizer = sgd(self.paraphraser)

        def step(index):
            optimizer.zero_grad()
            with self.autocast():
                with self.constants():
                    features = self.teacher_features(index)
                code = self.paraphraser.encoder(features)
                found = self.paraphraser.decoder(code)
            loss = functional.l1_loss(found.float(), features.detach().float())
            loss.backward()
            optimizer.step()
            return loss.item()

        return step


def sgd(module):
    return torch.optim.SGD(
        module.parameters(),
        lr=contenders.LEARNING_RATE,
        momentum=contenders.MOMENTUM,
        weight_decay=contenders.WEIGHT_DECAY,
    )


def build(task):
    """Return two functions: to run steps, and to tell about the contender."""
    loop = Loop(task)
    phase_1 = task["options"]["phase"] == 1
    step = loop.train_paraphraser() if phase_1 else loop.train_student()

    def steps(count):
        for number in range(count):
            step(number % BATCHES)

    def facts():
        return {
            "versions": {"torch": torch.__version__},
            "parameters": loop.parameters,
            "threads": torch.get_num_threads(),
        }

    return steps, facts
