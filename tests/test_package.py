"""The package as users meet it: what an import costs, what the wheel holds, saved models."""
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import notebooks
import pytest

EXTRAS = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def test_import_costs_nothing(program):
    program("heavy_imports", cold=True)


def test_wheel(tmp_path):
    copy = tmp_path / "copy"  # setuptools leaves its own files where it builds
    shutil.copytree(notebooks.LIB, copy / "dl_utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"): shutil.copy(notebooks.ROOT / name, copy)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        tmp_path,
        copy,
    ]
    subprocess.run(command, check=True, capture_output=True)
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    assert {p.relative_to(notebooks.ROOT).as_posix() for p in notebooks.LIB.rglob("*.py")} <= set(
        wheel.namelist()
    )
    assert not [name for name in wheel.namelist() if name.startswith(("tests", "tools", "nbs"))]
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    extras = set(re.findall(r"^Provides-Extra: (\S+)", metadata, re.M))
    assert (
        extras
        == set(EXTRAS)
        == {
            "tfmot",
            "notebook",
            "jax",
            "torch",
            "tuner",
            "tutorials",
            "tensorboard",
            "tiff",
            "tflite",
            "onnx",
            "bench",
            "docs",
            "dev",
        }
    )


@pytest.mark.parametrize("flavour, other", [("tf.keras", "keras"), ("tfmot", "tf_keras")])
def test_two_flavours_are_the_other_two(program, flavour, other):
    """The same classes and functions, under the same names: what works in one of a pair works in
    the other."""
    assert program("same_keras", other, flavour=flavour) == ""


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("tf.keras", "tfmot")]


@pytest.mark.parametrize("flavour", ["default", "tf_keras", *SLOW])
def test_models_load_in_another_process(program, flavour):
    program("save_models", flavour=flavour)
    program("load_models", flavour=flavour)


def test_jax_needs_no_tensorflow(program):
    program("without_tensorflow", KERAS_BACKEND="jax")


@pytest.mark.parametrize(
    "flavour, package, extra",
    [
        ("tf_keras", "tf_keras", "tfmot"),
        ("tfmot", "tensorflow_model_optimization", "tfmot"),
        ("default", "jax", "jax"),
    ],
)
def test_missing_extra_is_named(program, flavour, package, extra):
    env = {"KERAS_BACKEND": "jax"} if package == "jax" else {}
    done = program("import_without", package, flavour=flavour, check=False, cold=True, **env)
    packages = " ".join(map(repr, EXTRAS[extra]))
    assert done.errors.splitlines()[-1].endswith(
        f"the extra {extra!r} of dl_utils brings it: pip install {packages}"), done.errors


def test_remedies_name_the_packages_of_the_extras():
    """PyPI's dl_utils is another project, so the messages name packages; they must be those of
    pyproject.toml."""
    from dl_utils.keras_module import _INSTALL
    for_development = "docs", "dev", "tutorials"
    assert {extra: list(packages.values()) for extra, packages in _INSTALL.items()} == {
        extra: packages for extra, packages in EXTRAS.items() if extra not in for_development}
    for packages in _INSTALL.values():
        for module, package in packages.items():
            assert re.match(r"[\w-]+", package)[0].replace("-", "_") == module
