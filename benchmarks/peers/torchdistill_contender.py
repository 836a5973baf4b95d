"""Factor Transfer in the torchdistill package, through its configuration.

The configuration, torchdistill_ft.yaml, has the settings of the package's own
published one. Steps go through its DistillationBox as in the package's
`examples/torchvision/image_classification.py`, the loss read every step. Two
things are left out in its favor: its data loader, which collates images one
by one, and the teacher's training mode, in which the example leaves it.
"""

import logging
import string
import tempfile
from importlib import metadata
from pathlib import Path

import contenders
import torch
import torch_networks
from torchdistill.common import yaml_util
from torchdistill.core.distillation import get_distillation_box

CONFIG = Path(__file__).with_name("torchdistill_ft.yaml")
BATCHES = 4


def configuration(teacher, student):
    """Fill in the file for a pair of networks, and read it."""
    text = string.Template(CONFIG.read_text()).substitute(
        rate=contenders.RATE,
        teacher_channels=teacher.channels,
        student_channels=student.channels,
        factor_channels=int(contenders.RATE * teacher.channels),
        # With a point, without which YAML reads "1e-09" as text.
        learning_rate=f"{contenders.LEARNING_RATE:.1e}",
        momentum=contenders.MOMENTUM,
        weight_decay=contenders.WEIGHT_DECAY,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text)
        return yaml_util.load_yaml_file(str(path))


def build(task):
    """Return two functions: to run steps, and to tell about the contender."""
    logging.disable(logging.INFO)
    torch.manual_seed(0)
    teacher = torch_networks.build(task["teacher"]).eval()
    student = torch_networks.build(task["student"])
    parameters = [torch_networks.trainable(x) for x in (teacher, student)]
    box = get_distillation_box(
        teacher,
        student,
        dataset_dict={},
        train_config=configuration(teacher, student)["train"],
        device=torch.device("cpu"),
        device_ids=None,
        distributed=False,
        lr_factor=1,
    )
    generator = torch.Generator().manual_seed(1)
    size = (BATCHES, task["batch"])
    images = torch.randn((*size, 3, *contenders.IMAGE[:2]), generator=generator)
    labels = torch.randint(contenders.CLASSES, size, generator=generator)
    box.pre_epoch_process(epoch=0)

    def steps(count):
        for number in range(count):
            index = number % BATCHES
            loss = box.forward_process(images[index], labels[index], {})
            box.post_forward_process(loss=loss)
            loss.item()

    def facts():
        versions = {
            name: metadata.version(name) for name in ("torch", "torchdistill")
        }
        return {
            "versions": versions,
            "parameters": parameters,
            "threads": torch.get_num_threads(),
        }

    return steps, facts
