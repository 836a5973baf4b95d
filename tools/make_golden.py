"""Compute the arrays in tests/golden with PyTorch's own layers and losses.

    python3 -m venv torch-env && torch-env/bin/pip install torch numpy
    torch-env/bin/python tools/make_golden.py

Nothing of keras_ft is used: modules, losses and optimizer are written as in
the authors' published code (Jangho-Kim/Factor-Transfer-pytorch 19cce26,
Models/FeatureProjection.py), HobbitLong/RepDistiller b84f547 and
szagoruyko/attention-transfer. Weights and inputs are random float32 numbers;
PyTorch computes with them in float64. Arrays keep PyTorch's names and layouts,
channels first. Made with PyTorch 2.14.1.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden"
RNG = np.random.default_rng(0)
STEPS = 3


def tower(widths, kind=nn.Conv2d, slope=0.1, norm=False):
    """3x3 convolutions of stride 1, each followed by LeakyReLU."""
    layers = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers.append(kind(before, after, kernel_size=3, padding=1))
        if norm:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.LeakyReLU(slope))
    return nn.Sequential(*layers)


class Paraphraser(nn.Module):
    def __init__(self, channels, code, **options):
        super().__init__()
        self.encoder = tower((channels, channels, code, code), **options)
        self.decoder = tower(
            (code, code, channels, channels), nn.ConvTranspose2d, **options
        )

    def forward(self, x):
        factor = self.encoder(x)
        return factor, self.decoder(factor)


class Classifier(nn.Module):
    """One convolution; its ReLU is the feature map that is tapped."""

    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        features = F.relu(self.norm(self.conv(x)))
        return features, self.head(features.mean((2, 3)))


def numbers(*shape):
    return RNG.normal(size=shape).astype("float32")


def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def filled(module):
    """Give a module random weights that float32 can hold."""
    module.double()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            array = numbers(*value.shape)
            if value.ndim > 1:
                array *= 1.5 / np.sqrt(np.prod(value.shape[1:]))
            elif name.endswith("running_var"):
                array = np.abs(array) + 0.5
            else:
                array *= 0.3
            value.copy_(tensor(array))
    return module


def state(prefix, module):
    return {
        f"{prefix}/{name}": value.detach().numpy().copy()
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def gradients(prefix, module):
    return {
        f"{prefix}/{name}": parameter.grad.numpy().copy()
        for name, parameter in module.named_parameters()
    }


def unit(factor):
    return F.normalize(factor.reshape(len(factor), -1))


def factor_loss(teacher, student, p=1):
    return (unit(student) - unit(teacher.detach())).abs().pow(p).mean()


def attention(features):
    return F.normalize(features.pow(2).mean(1).reshape(len(features), -1))


def attention_loss(teacher, student):
    return (attention(student) - attention(teacher.detach())).pow(2).mean()


def soft_loss(teacher, student, temperature=4.0):
    return (
        F.kl_div(
            F.log_softmax(student / temperature, dim=1),
            F.softmax(teacher.detach() / temperature, dim=1),
            reduction="batchmean",
        )
        * temperature**2
    )


def modules():
    """Paraphraser and translator, forward."""
    x = np.maximum(numbers(3, 12, 6, 5), 0)
    arrays = {"x": x}
    for name, options in {
        "official": {},
        "steep": {"slope": 0.3},
        "norm": {"norm": True},
    }.items():
        paraphraser = filled(Paraphraser(12, 6, **options)).eval()
        factor, reconstruction = paraphraser(tensor(x))
        translator = filled(tower((12, 12, 5, 5), **options)).eval()
        arrays |= state(f"{name}/paraphraser", paraphraser)
        arrays |= state(f"{name}/translator", translator)
        arrays[f"{name}/factor"] = factor
        arrays[f"{name}/reconstruction"] = reconstruction
        arrays[f"{name}/translated"] = translator(tensor(x))
        arrays[f"{name}/translated in training"] = translator.train()(tensor(x))
    return arrays


def losses():
    """Every loss, and its gradient at the student's side."""
    factors, logits = numbers(2, 4, 6, 5, 3), numbers(2, 5, 7) * 3
    # One example without any feature, and maps of other channels.
    factors[:, 3] = 0
    wide = numbers(4, 9, 5, 3)
    arrays = {"factors": factors, "logits": logits, "wide": wide}

    def keep(name, loss, teacher, student):
        student = tensor(student).requires_grad_()
        value = loss(tensor(teacher), student)
        (gradient,) = torch.autograd.grad(value, student)
        arrays[name], arrays[f"{name}/gradient"] = value, gradient

    alive = factors[:, :3]
    keep("factor p=1", factor_loss, *alive)
    keep("factor p=2", lambda t, s: factor_loss(t, s, 2), *alive)
    keep(
        "factor, attention form",
        lambda t, s: (attention(s) - attention(t)).abs().mean(),
        *alive,
    )
    keep("attention", attention_loss, wide[:3], alive[1])
    for temperature in (1.0, 4.0):
        keep(
            f"soft T={temperature:g}",
            lambda t, s, at=temperature: soft_loss(t, s, at),
            *logits,
        )
    keep("l1", lambda t, s: F.l1_loss(s, t), *factors)
    keep("l2", lambda t, s: F.mse_loss(s, t), *factors)
    with torch.no_grad():
        zeros = factor_loss(*map(tensor, factors))
    arrays["factor p=1, with zeros"] = zeros
    return arrays


def optimizers():
    """torch.optim.SGD across a drop of the learning rate."""
    start, given = numbers(5, 4), numbers(12, 5, 4)
    arrays = {"start": start, "gradients": given}
    for momentum, decay, nesterov in (
        (0.0, 0.0, False),
        (0.0, 0.1, False),
        (0.9, 5e-4, False),
        (0.9, 0.1, False),
        (0.9, 0.1, True),
    ):
        weight = nn.Parameter(tensor(start))
        sgd = torch.optim.SGD(
            [weight], 0.1, momentum, weight_decay=decay, nesterov=nesterov
        )
        steps = []
        for index, gradient in enumerate(given):
            sgd.param_groups[0]["lr"] = 0.1 if index < 6 else 0.01
            weight.grad = tensor(gradient)
            sgd.step()
            steps.append(weight.detach().numpy().copy())
        arrays[f"{momentum}/{decay}/{nesterov}"] = np.stack(steps)
    return arrays


def official_sgd(*parts):
    weights = [weight for part in parts for weight in part.parameters()]
    return torch.optim.SGD(weights, 0.1, momentum=0.9, weight_decay=5e-4)


def phase1():
    """Steps of phase 1: the paraphraser reconstructs the teacher's features."""
    images = numbers(8, 3, 6, 6)
    teacher = filled(Classifier(8, 4)).eval().requires_grad_(False)
    paraphraser = filled(Paraphraser(8, 4))
    arrays = {"images": images}
    arrays |= state("teacher", teacher) | state("paraphraser", paraphraser)
    start = {k: v.clone() for k, v in paraphraser.state_dict().items()}
    features, _ = teacher(tensor(images))
    for name, loss in {"l1": F.l1_loss, "l2": F.mse_loss}.items():
        paraphraser.load_state_dict(start)
        sgd, told = official_sgd(paraphraser), []
        for index in range(STEPS):
            sgd.zero_grad()
            value = loss(paraphraser(features)[1], features)
            value.backward()
            if index == 0:
                arrays |= gradients(f"{name}/gradient", paraphraser)
            sgd.step()
            told.append(value.item())
        arrays[f"{name}/loss"] = np.array(told)
        arrays |= state(f"{name}/after", paraphraser)
    return arrays


# Weights of the factor, the soft targets and the attention maps. The official
# 500 belongs to factors 14 times as large.
METHODS = {"ft": (30.0, 0.0, 0.0), "ft+kd+at": (30.0, 0.9, 50.0)}


def phase2():
    """Steps of phase 2: student and translator learn, the others stay."""
    images, labels = numbers(8, 3, 6, 6), RNG.integers(0, 4, 8)
    teacher = filled(Classifier(8, 4)).eval().requires_grad_(False)
    paraphraser = filled(Paraphraser(8, 4)).eval().requires_grad_(False)
    student, translator = filled(Classifier(6, 4)), filled(tower((6, 6, 4, 4)))
    arrays = {"images": images, "labels": labels}
    arrays |= state("teacher", teacher) | state("paraphraser", paraphraser)
    parts = {"student": student, "translator": translator}
    start = {}
    for name, part in parts.items():
        arrays |= state(name, part)
        start[name] = {k: v.clone() for k, v in part.state_dict().items()}
    x, y = tensor(images), torch.tensor(labels)
    teacher_features, teacher_logits = teacher(x)
    factor, _ = paraphraser(teacher_features)
    for method, (beta, kd, at) in METHODS.items():
        for name, part in parts.items():
            part.load_state_dict(start[name])
            part.train()
        sgd, told = official_sgd(student, translator), []
        for index in range(STEPS):
            sgd.zero_grad()
            features, logits = student(x)
            terms = [
                F.cross_entropy(logits, y),
                factor_loss(factor, translator(features)),
                soft_loss(teacher_logits, logits),
                attention_loss(teacher_features, features),
            ]
            total = terms[0] + beta * terms[1] + kd * terms[2] + at * terms[3]
            total.backward()
            if index == 0:
                for name, part in parts.items():
                    arrays |= gradients(f"{method}/gradient/{name}", part)
            sgd.step()
            told.append([total.item(), *(term.item() for term in terms)])
        arrays[f"{method}/loss"] = np.array(told)
        for name, part in parts.items():
            arrays |= state(f"{method}/after/{name}", part)
    return arrays


def save(name, arrays):
    kept = {}
    for key, value in arrays.items():
        array = np.asarray(value.detach() if torch.is_tensor(value) else value)
        if array.dtype == np.float64:
            array = array.astype("float32")
        kept[key] = array
    np.savez_compressed(OUT / f"{name}.npz", **kept)


if __name__ == "__main__":
    print(f"PyTorch {torch.__version__}")
    for make in (modules, losses, optimizers, phase1, phase2):
        save(make.__name__, make())
        size = (OUT / f"{make.__name__}.npz").stat().st_size
        print(f"{make.__name__}.npz: {size:,} bytes")
