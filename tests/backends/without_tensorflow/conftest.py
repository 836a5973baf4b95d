"""Collected where TensorFlow is not installed, by test_environments.py."""

import importlib.util

if importlib.util.find_spec("tensorflow"):
    collect_ignore_glob = ["test_*.py"]
