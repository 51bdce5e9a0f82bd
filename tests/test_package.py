"""The package as users meet it: what an import costs, what the wheel holds, saved models."""
import re
import tomllib
import zipfile

import notebooks
import publish
import pytest

EXTRAS = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def test_import_costs_nothing(program):
    program("heavy_imports", cold=True)


@pytest.mark.slow
def test_import_takes_hardly_longer_than_that_of_keras(program):
    ratios = [float(program("import_time", "dl_utils.keras_utils", cold=True))
              / float(program("import_time", "keras", cold=True)) for _ in range(3)]
    assert sorted(ratios)[1] < 1.3, ratios


def test_wheel(tmp_path):
    wheel = zipfile.ZipFile(publish.wheel_of_tree(tmp_path))
    modules = {p.relative_to(notebooks.ROOT).as_posix() for p in notebooks.LIB.rglob("*.py")}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == modules  # the package alone
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    assert f"\nName: {notebooks.DISTRIBUTION}\n" in metadata
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


# extra, a package of it, the part of the library that needs this, what else is set
NEEDED = [
    ("tfmot", "tf_keras", "keras", {"flavour": "tf_keras"}),
    ("tfmot", "tensorflow_model_optimization", "keras", {"flavour": "tfmot"}),
    ("tfmot", "tensorflow_model_optimization", "compression", {"flavour": "tf_keras"}),
    ("notebook", "ipywidgets", "history", {}),
    ("notebook", "ipywidgets", "browse", {}),
    ("jax", "jax", "keras", {"KERAS_BACKEND": "jax"}),
    ("torch", "torch", "keras", {"KERAS_BACKEND": "torch"}),
    ("tensorboard", "tensorboard", "tensorboard", {}),
    ("tiff", "tifffile", "tiff", {}),
    ("tiff", "imagecodecs", "tiff", {}),
    ("onnx", "onnx", "onnx", {}),
    ("onnx", "onnxruntime", "onnx", {}),
    ("onnx", "tf2onnx", "onnx", {}),
]
# what notebooks need, and the interpreter that TensorFlow has, too
NOT_NEEDED = {"ipykernel", "keras_tuner", "ai_edge_litert", "keras_hub", "segmentation_models",
              "segmentation_models_pytorch"}


@pytest.mark.parametrize("extra, package, part, settings", NEEDED)
def test_missing_extra_is_named(program, extra, package, part, settings):
    done = program("without_package", package, part, check=False, **settings)
    packages = " ".join(map(repr, EXTRAS[extra]))
    named = f"the extra {extra!r} of dl_utils brings it: pip install {packages}"
    assert done.returncode and named in done.errors.splitlines()[-1], done.errors


def test_tflite_runs_without_its_extra(program):
    assert program("without_package", "ai_edge_litert", "tflite") == "tensorflow"
    assert program("without_package", "nothing", "tflite") == "ai_edge_litert"


def test_every_package_of_an_extra_is_tried():
    from dl_utils.keras_module import _INSTALL
    modules = {module for packages in _INSTALL.values() for module in packages}
    tried = {package for _, package, *_ in NEEDED}
    assert tried | NOT_NEEDED == modules and not tried & NOT_NEEDED
    code = "\n".join(path.read_text() for path in notebooks.LIB.rglob("*.py"))
    imported = re.findall(r"^ *(?:import|from) (\w+)|import_optional\(\s*'(\w+)", code, re.M)
    assert {name for pair in imported for name in pair} & NOT_NEEDED == {"ai_edge_litert"}


def test_remedies_name_the_packages_of_the_extras():
    """They work however the library was installed; the packages must be those of pyproject.toml."""
    from dl_utils.keras_module import _INSTALL
    for_development = "docs", "dev", "tutorials"
    assert {extra: list(packages.values()) for extra, packages in _INSTALL.items()} == {
        extra: packages for extra, packages in EXTRAS.items() if extra not in for_development}
    for packages in _INSTALL.values():
        for module, package in packages.items():
            assert re.match(r"[\w-]+", package)[0].replace("-", "_") == module
