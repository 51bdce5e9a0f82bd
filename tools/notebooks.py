"""The literate pipeline: Jupytext Markdown in; notebooks, package, README, docs, Colab copies out.

    python tools/notebooks.py build             nbs/**/*.md -> *.ipynb, dl_utils/, README.md
    python tools/notebooks.py run NAME [KERAS]  run one notebook as the tests do
    python tools/notebooks.py quick [NAME]      prove one, or what a change touches
    python tools/notebooks.py readme-image      make the image of README from nbs/index.md
    python tools/notebooks.py docs              process executed notebooks, render them (docs.py)
    python tools/notebooks.py colab             write executed copies for Colab (colab.py)
    python tools/notebooks.py test-colab [NAME] run these in environments like Colab's
    python tools/notebooks.py bench             run nbs/benchmarks/, keep their outputs for the docs
    python tools/notebooks.py clean             remove what was made and is not committed

The work is done by jupytext, nbdev, nbclient and nbconvert; this file only joins them.
"""
import argparse
import ast
import atexit
import base64
import configparser
import functools
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS, LIB, BUILD = ROOT / "nbs", ROOT / "dl_utils", ROOT / "_build"  # setuptools claims build/
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "settings.ini")
PUBLISH, RUN = SETTINGS["publish"], SETTINGS["run"]
REPOSITORY = f"https://github.com/{PUBLISH['user']}/{PUBLISH['repo']}"
SITE = f"https://{PUBLISH['user'].lower()}.github.io/{PUBLISH['repo']}/"
# Markdown cells write {{repository}}, {{repo}} and {{site}}
ADDRESSES = {"repository": REPOSITORY, "repo": PUBLISH["repo"], "site": SITE}
# the name on PyPI, where dl_utils is another project
DISTRIBUTION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
# nbdev's import makes one, in ~ if it may
os.environ.setdefault("IPYTHONDIR", str(BUILD / "home/ipython"))
(BUILD / "home").mkdir(parents=True, exist_ok=True)
# `#| slow`: only `make test-all` runs the cell; `#| gpu`: only a machine with one
FLAGS = ("slow", "gpu")
# `#| short: epochs = 2`: what the tests run behind a cell, so that its training is short there;
# `#| full`: a cell that makes sense behind the whole training only: docs, `make test-all`

FIRST_TUTORIAL = "tutorials/01_segmentation"


# --- Markdown to notebooks ---------------------------------------------------------------------

def visible(pattern):
    """Files of `nbs/`, without those in hidden folders: Jupyter keeps checkpoints there."""
    return sorted(
        p
        for p in NBS.rglob(pattern)
        if not any(part.startswith(".") for part in p.relative_to(NBS).parts)
    )


def sources():
    return visible("*.md")


def name_of(md):
    return md.relative_to(NBS).with_suffix("").as_posix()


def by_name(name):
    md = NBS / f"{name.removesuffix('.md')}.md"
    if not md.exists():
        raise SystemExit(f"no notebook {name!r}; there are: {', '.join(map(name_of, sources()))}")
    return md


def with_addresses(text):
    """Fill in the addresses of settings.ini."""
    for name, address in ADDRESSES.items(): text = text.replace(f"{{{{{name}}}}}", address)
    return text


def notebook(md):
    """The notebook of a Markdown file, with ids made from content: nbdev writes them into the
    package, and
    jupytext's random ones would make every export differ."""
    import jupytext
    nb = jupytext.read(md)
    nb.metadata.pop("jupytext", None)
    seen = {}
    for cell in nb.cells:
        if cell.cell_type == "markdown": cell.source = with_addresses(cell.source)
        digest = hashlib.sha1(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, -1) + 1
        cell.id = digest if not seen[digest] else f"{digest}-{seen[digest]}"
    nb.metadata.setdefault("dl_utils", {})["made_from"] = f"{name_of(md)}.md"
    return nb


def made_here(ipynb):
    return "made_from" in json.loads(ipynb.read_text(encoding="utf-8"))["metadata"].get(
        "dl_utils", {}
    )


def write_notebooks():
    """`.ipynb` beside each `.md`; those that were made before and whose `.md` is gone are
    removed."""
    import nbformat
    for ipynb in visible("*.ipynb"):
        if not ipynb.with_suffix(".md").exists() and made_here(ipynb): ipynb.unlink()
    for md in sources():
        ipynb = md.with_suffix(".ipynb")
        if ipynb.exists() and not made_here(ipynb):
            raise SystemExit(
                f"{ipynb.relative_to(ROOT)} was not made from its .md; move it away, for it would"
                " be lost"
            )
        nbformat.write(notebook(md), ipynb)


def clean():
    """Remove what was made and is not committed."""
    for folder in ("_build", "_proc", "_docs", "demo", "build", "dist", "dl_utils_keras.egg-info"):
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    for ipynb in visible("*.ipynb"):
        if made_here(ipynb): ipynb.unlink()


# --- The package and the README ----------------------------------------------------------------

def export():
    """Rebuild `dl_utils/` from nothing, so that a renamed notebook leaves no module behind."""
    from nbdev import maker
    from nbdev.config import add_init
    from nbdev.doclinks import _build_modidx
    from nbdev.export import nb_export

    class FromMarkdown(maker.ModuleMaker):  # headers and cell markers name the file that is in git
        def __init__(self, dest, name, nb_path, **kwargs):
            super().__init__(dest, name, Path(nb_path).with_suffix(".md"), **kwargs)

    os.chdir(ROOT)  # nbdev looks for its configuration from here
    os.environ.pop("IN_TEST", None)  # set, it would leave the symbol index out
    shutil.rmtree(LIB, ignore_errors=True)
    # the page that a module's docstring names
    maker.nbpath2docurl = lambda path: f"{site_url(path)}.md"
    for md in sources():
        nb_export(md.with_suffix(".ipynb"), lib_path=LIB, mod_maker=FromMarkdown)
    add_init(LIB)
    _build_modidx()
    package_bytes.cache_clear()


LINK = re.compile(r"(\]\()([^)\s:#]+\.md)((?:#[^)\s]*)?\))")


def relink(text, md, target):
    """Rewrite links to other notebooks: `target` makes an address of a notebook's path."""
    def swap(m):
        path = (md.parent / m[2]).resolve()
        return m[1] + target(path) + m[3] if path.exists() else m[0]
    return LINK.sub(swap, text)


def colab_url(md):
    p = PUBLISH
    return (
        f"https://colab.research.google.com/github/{p['user']}/{p['repo']}/blob/{p['colab_branch']}/"
        f"{name_of(md)}.ipynb"
    )


def site_url(path):
    """The rendered page of a notebook."""
    return f"{SITE}{Path(path).resolve().relative_to(NBS).with_suffix('').as_posix()}.html"


def source_url(md):
    return f"{REPOSITORY}/blob/{PUBLISH['branch']}/nbs/{name_of(md)}.md"


def directives(source):
    """`#| name value` lines that open a cell, as a dict."""
    found = {}
    for line in source.splitlines():
        if not line.startswith("#|"): break
        key, _, value = line[2:].strip().partition(" ")
        found[key.rstrip(":")] = value.strip()
    return found


def readme():
    """README.md from nbs/index.md: its text and its visible cells, without Quarto."""
    md, parts = NBS / "index.md", []
    for cell in notebook(md).cells:
        body = "\n".join(line for line in cell.source.splitlines() if not line.startswith("#|"))
        if cell.cell_type == "markdown":
            body = body.replace("](images/", "](nbs/images/").replace("~~~", "```")
            parts.append(relink(body, md, site_url))
        elif not {"hide", "export", "default_exp"} & set(directives(cell.source)):
            # cells in a row are one block, to be copied as one
            if parts[-1].startswith("```python"): body = parts.pop()[10:-4] + f"\n\n{body}"
            parts.append(f"```python\n{body}\n```")
    colab = colab_url(by_name(FIRST_TUTORIAL))
    parts.insert(1, f"[Documentation]({SITE}) · [Open in Colab]({colab})")
    text = (
        "<!-- Made from nbs/index.md by `make`; edit that file. -->\n\n" + "\n\n".join(parts) + "\n"
    )
    (ROOT / "README.md").write_text(text, encoding="utf-8")


def build():
    write_notebooks()
    export()
    readme()


# --- Execution ---------------------------------------------------------------------------------

class CellFailed(Exception):
    """Says which notebook, which line of its Markdown, which cell, and what went wrong; `reason` is
    the last of these."""
    def __init__(self, message, reason):
        super().__init__(message)
        self.reason = reason


def is_component(md):
    return md.relative_to(NBS).parts[0] not in ("tutorials", "benchmarks", "index.md")


def original(md):
    """The notebook that a translation, `tutorials/ru/name.md`, has its code from; of others,
    themselves."""
    return md.parent.parent / md.name if md.parent.name == "ru" else md


DEFAULT = "default"  # the run with KERAS_MODULE unset, as a notebook is opened in Jupyter or Colab


def header(md):
    """What a notebook needs, from the key `dl_utils` of its YAML header:

        flavours: [tf_keras]   the only Keras it works on; its first cell chooses it
        keras: false           knows nothing of Keras, so that one run proves it
        extras: [onnx]         the extras of pyproject.toml that it needs
        gpu: true              in Colab it opens with a GPU
    """
    import yaml
    _, front, _ = original(md).read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front)["jupyter"].get("dl_utils", {})


def cases():
    """(name, flavour, slow) of every run that makes up a full test, the long ones first. Each
    notebook runs with nothing set;
    a component that works on any Keras again on tf_keras, and for `make test-all` under the other
    two names of the same
    packages. Translations, whose code is that of their originals to the letter, are not among
    them."""
    found = []
    for md in (md for md in sources() if md == original(md)):
        name, needs = name_of(md), header(md)
        found.append((name, DEFAULT, name.startswith("benchmarks/")))
        if not is_component(md) or needs.get("flavours") or needs.get("keras") is False: continue
        found += [(name, "tf_keras", False), (name, "tf.keras", True), (name, "tfmot", True)]
    return sorted(found, key=lambda case: is_component(by_name(case[0])))


def cell_lines(md, nb):
    """The line of the Markdown file at which each cell's source begins (1-based)."""
    text, at, lines = md.read_text(encoding="utf-8"), 0, []
    for cell in nb.cells:
        # behind the opening fence
        if cell.cell_type == "code": at = text.index("\n", text.index("\n```", at) + 1) + 1
        at = max(at, text.find(cell.source, at))
        lines.append(text.count("\n", 0, at) + 1)
        at += len(cell.source)
    return lines


def clean_env(tmp, flavour=DEFAULT, **extra):
    """The environment of a kernel: this flavour, this project's package, files in `tmp`
    (matplotlib's font cache, which
    takes long to make, is shared), and nothing that happens to be set in the user's shell."""
    unwanted = {"KERAS_MODULE", "KERAS_BACKEND", "TF_USE_LEGACY_KERAS", "IN_TEST"}
    unwanted |= {"JPY_PARENT_PID"}  # that of a notebook which has started all this
    env = {k: v for k, v in os.environ.items() if k not in unwanted}
    if flavour != DEFAULT: env["KERAS_MODULE"] = flavour
    settings = dict(
        PYTHONPATH=str(ROOT),
        TF_CPP_MIN_LOG_LEVEL="3",
        PYTHONDONTWRITEBYTECODE="1",
        KERAS_HOME=f"{tmp}/keras",
        XDG_CACHE_HOME=f"{tmp}/cache",
        IPYTHONDIR=f"{tmp}/ipython",
        JUPYTER_RUNTIME_DIR=f"{tmp}/jupyter",
        TMPDIR=str(tmp),
        MPLCONFIGDIR=str(BUILD / "matplotlib"),
        NO_ALBUMENTATIONS_UPDATE="1",
    )
    return env | settings | extra


@functools.cache
def package_bytes(lib):
    return b"".join(py.read_bytes() for py in sorted(lib.rglob("*.py")))


def fingerprint(md):
    """What an executed copy depends on: the notebook and the package."""
    text = with_addresses(md.read_text(encoding="utf-8"))
    return hashlib.sha1(text.encode() + package_bytes(LIB)).hexdigest()


def result_path(kind, md, flavour):
    """Where a notebook is kept after its run; `kind` is "executed" or "failed"."""
    return BUILD / kind / flavour / f"{name_of(md)}.ipynb"


# What no setting silences: TensorFlow's C++ side before its logger heeds TF_CPP_MIN_LOG_LEVEL, its
# advice about
# retracing, which a notebook that tries several models on one image each can't follow, and that of
# Keras 2 about
# callbacks that take as long as a batch, which on a busy machine those of a tiny model do
NATIVE_LOG = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} \d\d:\d\d|INFO: Created TensorFlow Lite|"
    r"WARNING:tensorflow:\d+ out of the last \d+ calls|WARNING:tensorflow:Callback method .* is"
    r" slow compared).*\n?",
    re.M,
)


def drop_native_logs(nb):
    for cell in nb.cells:
        if cell.cell_type != "code": continue
        for out in cell.outputs:
            if out.output_type == "stream": out.text = NATIVE_LOG.sub("", out.text)
        cell.outputs = [
            out for out in cell.outputs if out.output_type != "stream" or out.text.strip()
        ]


def warnings_in(nb):
    for cell in nb.cells:
        for out in cell.get("outputs", []):
            if out.output_type == "stream" and re.search(r"Warning: |^WARNING", out.text, re.M):
                yield cell, out.text


def shortened(cell, marks):
    """A cell as the tests run it: with its `#| short:` behind it, or not at all if it is `#|
    full`."""
    if "full" in marks: cell.metadata["tags"] = ["skip-execution"]
    if "short" in marks: cell.source += f"\n{marks['short']}"


@functools.cache
def warm_server(*modules):
    """The socket of a process that has imported these modules, and forks kernels; it ends with this
    process."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [
        sys.executable,
        Path(__file__).with_name("warm_kernel.py"),
        "serve",
        folder / "socket",
        *modules,
    ]
    options = dict(stdin=subprocess.DEVNULL, start_new_session=True)  # Ctrl+C is not for it
    server = subprocess.Popen(command, env=clean_env(BUILD / "home"), **options)
    atexit.register(server.kill)
    while not (folder / "socket").exists():
        if server.poll() is not None:
            raise RuntimeError(f"{command} ended with status {server.returncode}")
        time.sleep(.05)
    return folder / "socket"


def start_warm(modules):
    """The command that starts a kernel or a program in a process that has these imported."""
    script = Path(__file__).with_name("warm_kernel.py")
    return [sys.executable, str(script), "start", str(warm_server(*modules))]


def imports_for(flavour, tfmot=False):
    """The modules that a process of this flavour starts with; none where it starts cold.
    tensorflow-model-optimization decides for the whole process what `tf.keras` is."""
    if os.environ.get("COLD") or not hasattr(os, "fork"): return ()
    common = "tensorflow", "matplotlib.pyplot"
    if flavour == "tf_keras" or tfmot:
        return *common, "tf_keras", "tensorflow_model_optimization"
    return ("keras", *common) if flavour in (DEFAULT, "keras") else ()


def imports_of(md, flavour):
    """The modules that a notebook's kernel starts with."""
    if header(md).get("keras") is False: return ()
    return imports_for(flavour, tfmot="tf_keras" in header(md).get("flavours", ()))


def execute(
    md, flavour=DEFAULT, flags=(), echo=False, env=(), out=None, short=False, modules=None
):
    """Run a notebook from top to bottom in a Jupyter kernel of its own and keep the result, outputs
    included.

    Cells marked `#| eval: false`, or with a flag that is not in `flags`, are passed over; with
    `short`, trainings are short.
    Raises `CellFailed` for a cell that raises. A plain run is a test: there a warning fails too,
    and docs are made from its
    result, if it isn't short. A run on somebody's own data, whose result goes to `out`, is
    neither."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    class Client(NotebookClient):
        def create_kernel_manager(self):
            manager = super().create_kernel_manager()
            if warm := imports_of(md, flavour) if modules is None else modules:
                manager._kernel_spec = KernelSpec(
                    argv=[*start_warm(warm), "-f", "{connection_file}"],
                    display_name="warm",
                    language="python",
                )
            return manager

        def process_message(self, msg, cell, cell_index):
            if echo and msg["header"]["msg_type"] == "stream":
                print(NATIVE_LOG.sub("", msg["content"]["text"]), end="", flush=True)
            return super().process_message(msg, cell, cell_index)

    def timeout(cell):
        return RUN.getint(
            "slow_cell_timeout" if "slow" in directives(cell.source) else "cell_timeout"
        )

    nb = notebook(md)
    marked = [
        cell
        for cell in nb.cells
        if cell.cell_type == "code" and {"short", "full"} & directives(cell.source).keys()
    ]
    # the run of a notebook without such cells is a whole one, and good for the docs
    done = out or result_path("short" if short and marked else "executed", md, flavour)
    for cell in nb.cells:
        if cell.cell_type != "code": continue
        marks = directives(cell.source)
        if marks.get("eval") == "false" or any(f in marks and f not in flags for f in FLAGS):
            cell.metadata["tags"] = ["skip-execution"]
        if short: shortened(cell, marks)
    (BUILD / "matplotlib").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nb-") as tmp:
        work = Path(tmp) / "work"
        work.mkdir()
        # IPC, since ipykernel warns of TCP without encryption; the path is absolute, or each
        # process makes its own
        config = Config(KernelManager={"transport": "ipc", "ip": f"{tmp}/kernel"})
        client = Client(
            nb,
            config=config,
            kernel_name="python3",
            timeout_func=timeout,
            coalesce_streams=True,
            skip_cells_with_tag="skip-execution",
            resources={"metadata": {"path": str(work)}},
        )
        try:
            client.execute(env=clean_env(tmp, flavour, **dict(env)))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            drop_native_logs(nb)
            raise failure(md, flavour, nb, error) from None
    drop_native_logs(nb)
    for cell, text in warnings_in(nb) if out is None else ():
        raise failure(md, flavour, nb, text, cell)
    nb.metadata["dl_utils"]["fingerprint"] = fingerprint(md)
    done.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, done)
    return done


def failure(md, flavour, nb, error, cell=None):
    import nbformat
    from nbconvert.filters import strip_ansi
    failed = [c for c in nb.cells if any(o.output_type == "error" for o in c.get("outputs", []))]
    ran = [c for c in nb.cells if c.cell_type == "code" and "execution" in c.metadata]
    cell = cell or (failed or ran[-1:] or nb.cells)[0]
    kept = result_path("failed", md, flavour)
    kept.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, kept)
    line = cell_lines(md, notebook(md))[nb.cells.index(cell)]  # `nb` may be shortened
    shown = [
        (
            f"{md.relative_to(ROOT)}:{line} (KERAS_MODULE"
            f" {'unset' if flavour == DEFAULT else flavour}) failed in this cell:"
        ),
        "",
        *("    " + line for line in cell.source.splitlines()),
        "",
    ]
    for out in cell.get("outputs", []):
        if out.output_type == "stream": shown.append(strip_ansi(out.text.rstrip()[-2000:]))
        if out.output_type == "error": shown.append(strip_ansi("\n".join(out.traceback)))
    if not failed: shown.append(str(error))
    reason = "\n".join(
        f"{o.ename}: {o.evalue}" for o in cell.get("outputs", []) if o.output_type == "error"
    ) or str(error)
    return CellFailed("\n".join([*shown, f"\nwhat ran so far: {kept.relative_to(ROOT)}"]), reason)


def executed(md, flavour=DEFAULT, **kwargs):
    """The executed copy of a notebook; run now only if none is there or it is stale. A translation
    gets the outputs of its original."""
    import nbformat
    if md != original(md):
        nb, theirs = notebook(md), executed(original(md), flavour, **kwargs)
        code = lambda nb: [cell for cell in nb.cells if cell.cell_type == "code"]
        for cell, done in zip(code(nb), code(theirs), strict=True):
            cell.update(outputs=done.outputs, execution_count=done.execution_count)
        if "widgets" in theirs.metadata: nb.metadata["widgets"] = theirs.metadata["widgets"]
        return nb
    done = result_path("executed", md, flavour)
    if done.exists():
        nb = nbformat.read(done, as_version=4)
        if nb.metadata.get("dl_utils", {}).get("fingerprint") == fingerprint(md): return nb
    print(f"running {name_of(md)} ...", flush=True)
    return nbformat.read(execute(md, flavour, **kwargs), as_version=4)


# --- What people see ---------------------------------------------------------------------------

def html(nb, path):
    """One self-contained page, that loads nothing from other hosts."""
    from nbconvert import HTMLExporter
    exporter = HTMLExporter(
        mathjax_url="", require_js_url="", widget_renderer_url="", jquery_url=""
    )
    path.write_text(exporter.from_notebook_node(nb)[0], encoding="utf-8")


def without_marks(nb):
    """The notebook without the directives that only a run reads."""
    for cell in nb.cells:
        if cell.cell_type == "code":
            if "slow" in directives(cell.source): cell.metadata["tags"] = ["slow"]
            cell.source = re.sub(r"^#\| (short|full|slow|gpu)\b.*\n?", "", cell.source, flags=re.M)
    return nb


def published(md, run=True):
    """The executed copy, ready to be shown; without `run`, the mere notebook. Benchmarks take
    hours: their outputs are those of their last full run."""
    if name_of(md).startswith("benchmarks/"): return without_marks(with_kept_outputs(md))
    return without_marks(executed(md) if run else notebook(md))


def with_images(nb, md):
    """The notebook with the images that its text names inside, so that it can leave this folder."""
    for cell in nb.cells:
        for name in re.findall(r"!\[.*?\]\(([\w/.-]+\.png)\)", cell.source):
            image = base64.b64encode((md.parent / name).read_bytes()).decode()
            cell.setdefault("attachments", {})[Path(name).name] = {"image/png": image}
            cell.source = cell.source.replace(f"({name})", f"(attachment:{Path(name).name})")
    return nb


def readme_image():
    """The last image of the home page, as its cells make it: README's first screen."""
    from PIL import Image
    nb = executed(NBS / "index.md")
    images = [
        out.data["image/png"]
        for cell in nb.cells
        for out in cell.get("outputs", ())
        if "image/png" in out.get("data", {})
    ]
    path = NBS / "images/first_screen.png"
    path.parent.mkdir(exist_ok=True)
    image = Image.open(io.BytesIO(base64.b64decode(images[-1]))).convert("RGB")
    image.quantize(256).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} KB")


def docs():
    import docs
    docs.docs()


def colab():
    import colab
    colab.colab()


def test_colab(*names):
    import colab
    colab.test_colab(*names)


def kept_path(md):
    """Where git keeps the outputs of a benchmark's last full run."""
    return md.parent / f"outputs/{md.stem}.json"


def bench():
    """Run the benchmarks, and keep their outputs for the docs."""
    for md in sources():
        if not name_of(md).startswith("benchmarks/"): continue
        keep_outputs(md, execute(md, echo=True, flags=FLAGS))


def keep_outputs(md, done):
    """Write what the cells of an executed benchmark showed, the date and the machine."""
    import nbformat
    cells = {}
    for cell in nbformat.read(done, as_version=4).cells:
        if cell.get("outputs"): cells[cell.id] = cell.outputs
    path = kept_path(md)
    path.parent.mkdir(exist_ok=True)
    record = dict(date=time.strftime("%Y-%m-%d"), machine=machine(), cells=cells)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path.relative_to(ROOT))


def machine():
    """Processor, cores, GPU, and versions, as a sentence names them."""
    import platform
    from importlib.metadata import PackageNotFoundError, version
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)", info.read_text(), re.M) if info.exists() else []
    parts = [f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"]
    for package in "tensorflow", "keras", "tf_keras", "torch":
        try: parts.append(f"{package} {version(package)}")
        except PackageNotFoundError: pass
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def with_kept_outputs(md):
    """A benchmark with the outputs of its last full run. Cells are found by their text: one that
    has changed since then shows none."""
    import nbformat
    from nbformat.v4 import new_markdown_cell
    nb, path = notebook(md), kept_path(md)
    if not path.exists(): return nb
    record = json.loads(path.read_text(encoding="utf-8"))
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.from_dict(out) for out in record["cells"].get(cell.id, ())]
    note = f"Outputs are those of a run on {record['date']}: {record['machine']}."
    nb.cells.insert(1, new_markdown_cell(note, id="kept"))
    return nb


def run(name, flavour=DEFAULT):
    flags = os.environ.get("FLAGS", "").split()
    print(
        execute(
            by_name(name), flavour, flags=flags, echo=True, short="slow" not in flags
        ).relative_to(ROOT)
    )


def imported_by(name):
    """The notebooks whose modules the module of a notebook imports."""
    module = LIB / f"{name}.py"
    if not module.exists(): return set()
    found, package = set(), ["dl_utils", *Path(name).parent.parts]
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_NAMES":
            # tfmot_utils imports these by their names
            found |= {key.replace(".", "/") for key in ast.literal_eval(node.value)}
        if not isinstance(node, ast.ImportFrom): continue
        base = package[:len(package) - node.level + 1] if node.level else []
        parts = [*base, *(node.module or "").split(".")]
        if parts[0] == "dl_utils": found.add("/".join(parts[1:]))
    return found


def touched():
    """Notebooks that the uncommitted change touches, the changed ones first, then those whose
    modules import theirs, and so on."""
    git = ["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=all", "--", "nbs"]
    lines = subprocess.run(git, check=True, capture_output=True, text=True).stdout.splitlines()
    # a renamed or deleted page touches those that imported it
    paths = [ROOT / path.strip('"') for line in lines for path in line[3:].split(" -> ")]
    found = [name_of(path) for path in paths if path.suffix == ".md"]
    users = {name: imported_by(name) for name in map(name_of, sources())}
    for name in found:  # grows while it is gone through
        found += [other for other, needed in users.items() if name in needed and other not in found]
    pages = [NBS / f"{name}.md" for name in found]
    names = dict.fromkeys(name_of(original(md)) for md in pages if md.exists())
    return [name for name in names if not name.startswith("benchmarks/")]


QUICK = 240  # seconds after which `make quick` begins no other notebook


def quick(name=None):
    """Prove one notebook, or what the uncommitted change touches, nearest first, as long as that is
    quick."""
    names, start = [name] if name else touched(), time.monotonic()
    if not names:
        print(
            "no notebook has changed since the last commit; make quick NB=training/warmup"
            " proves one"
        )
    for i, name in enumerate(names):
        if time.monotonic() - start > QUICK:
            return print(f"left to `make test`: {', '.join(names[i:])}")
        begun = time.monotonic()
        execute(original(by_name(name)), short=True)
        print(f"{name}: passed in {time.monotonic() - begun:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "command",
        choices="build run quick readme-image docs colab test-colab bench clean".split(),
    )
    parser.add_argument("args", nargs="*")
    given = parser.parse_args()
    try:
        globals()[given.command.replace("-", "_")](*given.args)
    except CellFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    import notebooks  # the module that docs.py and colab.py import: its `CellFailed` is caught
    notebooks.main()
