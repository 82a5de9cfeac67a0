import subprocess
import sys


def test_evaluation_needs_no_deep_learning_framework():
    code = """
import importlib, pkgutil, sys
import keras_pneumo.evaluation as package
names = [found.name for found in pkgutil.iter_modules(package.__path__)]
assert {"predictions", "metrics", "thresholds", "plots", "page", "report"} <= set(names), names
for name in names:
    importlib.import_module(f"{package.__name__}.{name}")
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"keras", "tensorflow", "torch", "jax"}))
print(sorted(name for name in sys.modules if name.startswith("keras_pneumo.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    frameworks, modules = done.stdout.splitlines()
    assert frameworks == "[]"
    for floor in ("data", "models", "inference", "training", "cli"):
        assert f"keras_pneumo.{floor}'" not in modules
