"""The package as others meet it: what importing it costs, what is in the wheel, and models that travel between processes."""
import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import notebooks
import pytest

EXTRAS = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
FLAVOURS = ["keras", "tf.keras", "tf_keras", "tfmot"]


def test_import_costs_nothing(python):
    heavy = {"tensorflow", "keras", "tf_keras", "numpy", "matplotlib", "albumentations", "cv2"}
    assert python(f"import sys, dl_utils; print({{m.split('.')[0] for m in sys.modules}} & {heavy})") == "set()"


def test_wheel(tmp_path):
    copy = tmp_path / "copy"  # setuptools leaves its own files where it builds
    shutil.copytree(notebooks.LIB, copy / "dl_utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"): shutil.copy(notebooks.ROOT / name, copy)
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, copy], check=True, capture_output=True)
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    assert {p.relative_to(notebooks.ROOT).as_posix() for p in notebooks.LIB.rglob("*.py")} <= set(wheel.namelist())
    assert not [name for name in wheel.namelist() if name.startswith(("tests", "tools", "nbs"))]
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    extras = set(re.findall(r"^Provides-Extra: (\S+)", metadata, re.M))
    assert extras == set(EXTRAS) == {"tfmot", "notebook", "jax", "torch", "tuner", "tutorials", "tensorboard", "tiff", "tflite", "onnx", "bench", "docs", "dev"}


@pytest.mark.parametrize("flavour, twin", [("tf.keras", "keras"), ("tfmot", "tf_keras")])
def test_two_flavours_are_the_other_two(python, flavour, twin):
    """The same classes and functions, under the same names: what works in one of a pair works in the other, and long tests run in one of them.

    `tf.keras` lacks some long names of losses, and keeps an AlphaDropout of its own; nothing here uses them.
    """
    assert python(f"""
        import {twin} as twin
        from dl_utils.keras_module import keras
        for part in 'activations applications callbacks constraints initializers layers losses metrics models optimizers regularizers utils'.split():
            theirs, ours = vars(getattr(twin, part)), vars(getattr(keras, part))
            strange = [name for name, thing in theirs.items() if name[0].isalpha() and callable(thing) and ours.get(name, thing) is not thing and name != 'AlphaDropout']
            if strange or len(theirs) < 5: print(part, strange)
        """, flavour) == ""


@pytest.mark.parametrize("flavour", [flavour if flavour in ("keras", "tfmot") else pytest.param(flavour, marks=pytest.mark.slow) for flavour in FLAVOURS])
def test_networks_travel_to_another_process(python, flavour, tmp_path):
    """Saved here, loaded there in safe mode, once their layers are imported: equal predictions, for a size that is no multiple of 32."""
    python("""
        import numpy as np
        from dl_utils.keras_utils import backbone_with_preprop, Deeplabv3Plus, keras
        from dl_utils.keras_utils import make_fractal_unet, UNet
        backbone = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(64, 64, 3), alpha=.35)
        x = np.random.default_rng(0).random((1, 50, 70, 3), 'float32')
        expected = dict(x=x)
        for make in UNet, Deeplabv3Plus, make_fractal_unet:
            for nested in False, True:
                net = make(backbone, (None, None, 3), out_filters=3, use_submodels=nested)
                name = f'{net.name}-{nested}'
                for suffix in '.keras', '.h5': net.save(name + suffix)
                expected[name] = net.predict(x, verbose=0)
        others = {name: UNet(name, (None, None, 3), weights=None) for name in ('MobileNetV3Small', 'ConvNeXtTiny')}
        others['calm'] = backbone_with_preprop('EfficientNetB0', weights=None)
        for name, net in others.items():
            for suffix in '.keras', '.h5': net.save(name + suffix)
            expected[name] = net.predict(x, verbose=0)
        np.savez('expected.npz', **expected)
        """, flavour)
    python("""
        import numpy as np
        from dl_utils.keras_module import keras
        try: keras.models.load_model('unet-False.keras', compile=False)
        except Exception: pass
        else: raise AssertionError('loaded without the import that README and tutorial ask for')
        import dl_utils.layers
        expected = dict(np.load('expected.npz'))
        x = expected.pop('x')
        assert len(expected) == 9
        for name, y in expected.items():
            for suffix in '.keras', '.h5':
                net = keras.models.load_model(name + suffix, compile=False)
                assert np.abs(net.predict(x, verbose=0) - y).max() <= 1e-6, name + suffix
        assert (np.asarray(net(x, training=True)) == np.asarray(net(x, training=False))).all()
        """, flavour)


def test_without_tensorflow_on_another_backend(python):
    """Keras 3 on JAX needs nothing of TensorFlow: neither the data nor the models import it."""
    done = python("""
        import sys
        class NoTensorFlow:
            def find_spec(self, name, path=None, target=None):
                if name.split('.')[0] == 'tensorflow': raise ModuleNotFoundError(f'No module named {name!r}', name=name)
        sys.meta_path.insert(0, NoTensorFlow())
        import numpy as np
        from dl_utils.data.loader import make_shapes_dataset, SegDataLoader
        from dl_utils.models.unet import UNet
        make_shapes_dataset('shapes', n=4)
        net = UNet('MobileNetV2', (None, None, 3), out_filters=4, weights=None)
        net.compile('adam', 'categorical_crossentropy')
        net.fit(SegDataLoader('shapes', 4, batch_size=2), verbose=0)
        from dl_utils.keras_module import keras
        from dl_utils.models.deeplab import Deeplabv3Plus
        from dl_utils.models.fractal_unet import make_fractal_unet
        x = start = keras.Input((None, None, 3))
        for filters in 8, 8, 8: x = keras.layers.Conv2D(filters, 3, strides=2, padding='same')(x)
        for make in Deeplabv3Plus, make_fractal_unet:
            small = make(keras.Model(start, x), (None, None, 3), filters=8, activation='argmax')
            assert small.predict(np.zeros((1, 50, 70, 3)), verbose=0).shape == (1, 50, 70)
        print(net.predict(np.zeros((1, 50, 70, 3)), verbose=0).shape)
        """, KERAS_BACKEND="jax")
    assert done == "(1, 50, 70, 4)"


def test_an_extra_that_is_missing_is_named(python):
    for flavour, package, extra in [("tf_keras", "tf_keras", "tfmot"), ("tfmot", "tensorflow_model_optimization", "tfmot"),
                                    ("keras", "jax", "jax")]:
        env = {"KERAS_BACKEND": "jax"} if package == "jax" else {}
        done = python(f"import sys; sys.modules[{package!r}] = None\nimport dl_utils.data.loader", flavour, check=False, **env)
        packages = " ".join(map(repr, EXTRAS[extra]))
        assert done.stderr.splitlines()[-1].endswith(f"the extra {extra!r} of dl_utils brings it: pip install {packages}"), done.stderr


def test_what_is_told_to_install_is_what_the_extras_hold(python):
    """PyPI's dl_utils is another project, so the messages name packages; they must be those of pyproject.toml."""
    told = ast.literal_eval(python("from dl_utils import keras_module; print(keras_module._INSTALL)"))
    assert {extra: list(packages.values()) for extra, packages in told.items()} == {
        extra: packages for extra, packages in EXTRAS.items() if extra not in ("docs", "dev", "tutorials")}  # these are for work on it, and for lessons
    for packages in told.values():
        for module, package in packages.items(): assert re.match(r"[\w-]+", package)[0].replace("-", "_") == module
