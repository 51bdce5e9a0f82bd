"""The browser of samples where the notebook can't go: under ipywidgets 7, which Colab has, and against what users bring."""
import subprocess
import sys
import textwrap

import pytest

LEAF = """
    import html, io, sys
    import ipywidgets
    import numpy as np
    from PIL import Image
    from dl_utils.plotting import browse

    rng, calls = np.random.default_rng(0), []
    images, classes = rng.random((3, 40, 64, 3), 'float32'), rng.integers(0, 4, (3, 40, 64))

    def sample(i, augmented):
        calls.append((i, augmented))
        if i == 1: raise KeyError('<mask>')
        image = images[i] * rng.uniform(.5, .9) if augmented else images[i]
        return image, np.eye(4, 3, dtype='float32')[classes[i]]  # the fourth is no label

    def pixels(image): return np.asarray(Image.open(io.BytesIO(bytes(image.value))))[::5, ::5]
    def as_bytes(image): return (image * 255).round()

    box = browse(sample, 3, ['a', 'b', '<c>'], [[255, 0, 0], [0, 255, 0], [0, 0, 255]], names=['x.png', '<y>', 'z'])
    assert pixels(box.image).shape == (40, 64, 3) and (pixels(box.image) == as_bytes(images[0])).all()
    assert '&lt;c&gt;' in box.legend.value and 'no label' in box.legend.value and 'rgb(0,0,255)' in box.legend.value
    box.opacity.value = 0
    assert (pixels(box.overlay) == pixels(box.image)).all()
    box.opacity.value = 1
    assert (pixels(box.overlay) == 255 * np.eye(4, 3)[classes[0]]).all()
    box.slider.value = 1
    assert 'KeyError: ' + html.escape("'<mask>'") in box.error.value and '&lt;y&gt;' in box.caption.value and box.images.layout.display == 'none'
    box.slider.value = 2
    assert not box.error.value and (pixels(box.overlay) == 255 * np.eye(4, 3)[classes[2]]).all() and box.images.layout.display == 'flex'
    box.augmented.value = True
    first = bytes(box.image.value)
    box.again.click()
    assert bytes(box.image.value) != first and calls == [(0, False), (1, False), (2, False), (2, True), (2, True)]
    assert {'slider', 'augmented', 'again', 'opacity', 'image', 'overlay', 'caption', 'legend', 'error'} <= set(vars(box))
    assert not {'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)  # none of them is needed, and each takes its time
    print(ipywidgets.__version__)
    """


@pytest.mark.parametrize("wanted", ["==7.7.1", ">=7.7,<8"])
def test_the_ipywidgets_of_colab(python, tmp_path, wanted):
    """What ipywidgets 7 needs besides is there with ipywidgets 8."""
    seven = tmp_path / "seven"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--no-cache-dir",
                    "--target", seven, f"ipywidgets{wanted}", "ipython_genutils"], check=True, capture_output=True)
    version = python(f"import sys; sys.path.insert(0, {str(seven)!r})\n" + textwrap.dedent(LEAF))
    assert version == "7.7.1" if "==" in wanted else version.startswith("7.")


def test_newer_ipywidgets(python):
    assert int(python(LEAF).split(".")[0]) >= 8


def test_what_users_bring(python):
    """Tensors, float64, whole targets, NumPy's integers, large images, samples that exist only in the middle; two browsers don't mix."""
    done = python("""
        import io, time
        import jax.numpy as jnp
        import numpy as np
        from PIL import Image
        from dl_utils.plotting import browse

        def size(image): return Image.open(io.BytesIO(bytes(image.value))).size
        image, target = np.random.default_rng(0).random((1500, 2000, 3)), np.eye(5)[np.random.default_rng(0).integers(0, 5, (1500, 2000))]
        made = [(image, target), (jnp.asarray(image[:20, :30]), jnp.asarray(target[:20, :30])), (np.ones((7, 5, 3)), np.ones((7, 5, 1), int)),
                [image[:9, :9] > .5, target[:9, :9] > .5], (image[:9, :9], target[:9, :9, 0]), None, (image[:9, :9], target[:9, :9], None)]
        box, other = (browse(lambda i, augmented: made[i], np.int64(len(made)), names=np.arange(7), index=np.int32(i)) for i in range(2))
        sizes, errors = [], []
        for box.slider.value in range(1, 4): sizes.append(size(box.image)); assert size(box.overlay) == sizes[-1] and not box.error.value
        for box.slider.value in range(4, 7): errors.append(box.error.value); assert 'expected' in box.error.value
        assert len(set(errors)) == 3 and size(other.image) == (330, 220) and '<b>1</b>' in other.caption.value
        box.slider.value = 0
        assert size(box.image) == size(box.overlay) == (640, 480) and '<b>0</b>' in box.caption.value
        before, start = bytes(box.image.value), time.time()
        for box.opacity.value in np.linspace(0, 1, 21): pass
        assert bytes(box.image.value) == before and time.time() - start < 5  # fluent: about 20 ms each
        other.opacity.value = .1
        assert box.opacity.value == 1
        print(sizes)
        """)
    assert done == "[(330, 220), (230, 322), (324, 324)]"
