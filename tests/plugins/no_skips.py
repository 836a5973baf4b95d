"""Where nothing may be missing, a skipped test is a failed one.

With KERAS_FT_NO_SKIPS=1, which `.ci/run` sets, every skip fails, a module's as
well as a test's, unless its reason is in `ALLOWED`. So a runtime that could not
be installed, or a folder that is not there, cannot pass for a green run.
"""

import os
import re
from typing import Any

import pytest

VARIABLE = "KERAS_FT_NO_SKIPS"

_OTHER_BACKEND = "in the session that runs on JAX or PyTorch"
# A skip's reason, as a regular expression: why it may be.
ALLOWED = {
    "KERAS_FT_TORCH_PYTHON names no environment": "its install takes 5 GB",
    "FASHION_MNIST_DIR does not name the original files": "a download",
    "LiteRT.js takes no uint8": "there is nothing to test",
    "here it is the GPU's": "the machine has one",
    "signals are POSIX": "on Windows",
    "tf.data is TensorFlow's": _OTHER_BACKEND,
    "TensorFlow's own leak": _OTHER_BACKEND,
    "never on other backends": _OTHER_BACKEND,
    "a compiled step of this backend cannot stop": _OTHER_BACKEND,
    "Keras writes TensorBoard's files through TensorFlow": _OTHER_BACKEND,
}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Any:
    return _checked((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Any:
    return _checked((yield))


def _checked(report: Any) -> Any:
    expected_failure = hasattr(report, "wasxfail")
    if os.environ.get(VARIABLE) != "1" or expected_failure:
        return report
    if report.skipped and not _may_be(_reason(report)):
        report.outcome = "failed"
        report.longrepr = (
            f"{_reason(report)}\nWith {VARIABLE}=1 a skip is a failure; "
            "tests/plugins/no_skips.py lists those that may be."
        )
    return report


def _reason(report: Any) -> str:
    *_, reason = report.longrepr
    return str(reason).removeprefix("Skipped: ")


def _may_be(reason: str) -> bool:
    return any(re.search(pattern, reason) for pattern in ALLOWED)
