"""Copies of the notebooks for Colab, and a place to try them that is like Colab.

`notebooks.py colab` calls `colab`, `notebooks.py test-colab` calls `test_colab`.
"""
import functools
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import notebooks
import publish
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebooks import DISTRIBUTION, PUBLISH, REPOSITORY, ROOT, RUN, header, name_of

PACKAGES = ROOT / "tests/colab-packages.txt"


def install_cell(extras):
    """The cell that installs this package with these extras, where it is not installed."""
    name = DISTRIBUTION + (f"[{','.join(extras)}]" if extras else "")
    source = (
        "from importlib.util import find_spec\n\nif find_spec('dl_utils') is None:\n"
        f'    %pip install -q "{name} @ git+{REPOSITORY}@{PUBLISH["branch"]}"'
    )
    return new_code_cell(source, id="install")


def for_colab(md, run=True):
    """The copy of a notebook, executed unless `run` is false, with what Colab needs: a first cell
    that installs the package with the extras of its header, and, where a header has `gpu: true`, a
    runtime with a GPU."""
    nb, needs = notebooks.with_images(notebooks.published(md, run), md), header(md)
    kinds = [cell.cell_type for cell in nb.cells]
    if "code" in kinds: nb.cells.insert(kinds.index("code"), install_cell(needs.get("extras", ())))
    nb.metadata["colab"] = {"provenance": [], "toc_visible": True}
    if needs.get("gpu"):
        nb.metadata["accelerator"] = "GPU"
        nb.metadata["colab"]["gpuType"] = "T4"
    nb.metadata.pop("dl_utils", None)
    for i, cell in enumerate(nb.cells):
        cell.metadata.pop("execution", None)  # times of day, which differ from run to run
        if cell.cell_type == "markdown":
            cell.source = notebooks.relink(cell.source, md, notebooks.colab_url)
        elif "slow" in cell.metadata.get("tags", ()) and notebooks.is_component(md):
            code = f"```python\n{cell.source}\n```"
            text = f"This takes long. To run it, copy it to a cell:\n\n{code}"
            nb.cells[i] = new_markdown_cell(text, id=cell.id)
    return nb


def write(nb, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)


def colab():
    """Executed copies that install the package first, for the branch that Colab reads."""
    out, p = notebooks.BUILD / "colab", PUBLISH
    shutil.rmtree(out, ignore_errors=True)
    for md in notebooks.sources(): write(for_colab(md), out / f"{name_of(md)}.ipynb")
    print(
        f"{out.relative_to(ROOT)}/ is what the branch {p['colab_branch']!r} of"
        f" {p['user']}/{p['repo']} should hold"
    )


# --- A place like Colab --------------------------------------------------------------------------

def site_packages(python):
    site, = python.parent.parent.glob("lib/python*/site-packages")
    return site


def colab_environment(home):
    """An environment with Colab's packages, and a function that makes another one on top of it:
    with a wheel of this tree, and the extras that a notebook asks for."""
    shutil.rmtree(home, ignore_errors=True)
    base = publish.new_environment(home / "colab")
    publish.pip_install(base, "-r", PACKAGES)
    wheel = publish.wheel_of_tree(home)

    def with_extras(extras):
        """The Python of this environment; its installation changes no package of Colab's list."""
        python = publish.new_environment(home / "-".join(["with", *extras]))
        site = site_packages(python)
        (site / "colab.pth").write_text(f"{site_packages(base)}\n")
        publish.pip_install(python, f"{wheel}[{','.join(extras)}]" if extras else wheel)
        listed = [line.split("==")[0] for line in PACKAGES.read_text().splitlines()]
        moved = [name for name in listed if list(site.glob(f"{name.replace('-', '_')}-*"))]
        if moved: raise RuntimeError(f"{extras}: pip exchanged {', '.join(moved)}")
        return python
    return with_extras


def run_in_colab(python, md, home):
    """Run the copy for Colab as Colab does: with nothing set, in an empty folder; what went wrong,
    and the seconds it took."""
    from jupyter_client.kernelspec import KernelSpec
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config
    nb, start, problem = for_colab(md, run=False), time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="colab-") as tmp:
        client = NotebookClient(
            nb,
            kernel_name="python3",
            timeout=RUN.getint("cell_timeout"),
            resources={"metadata": {"path": tmp}},
            config=Config(KernelManager={"transport": "ipc", "ip": f"{tmp}/kernel"}),
        )
        client.create_kernel_manager()._kernel_spec = KernelSpec(
            argv=[str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Colab",
            language="python",
        )
        env = {k: v for k, v in notebooks.clean_env(tmp).items() if k != "PYTHONPATH"}
        try: client.execute(env=env)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            problem = str(error)
    write(nb, home / f"{name_of(md)}.ipynb")
    return problem, time.monotonic() - start


def test_colab(*names):
    """Run what `make colab` makes in environments like Colab's, one for each set of extras.
    Benchmarks take hours, and translations have the code of their originals."""
    mds = [notebooks.by_name(name) for name in names] or [
        md
        for md in notebooks.sources()
        if md == notebooks.original(md) and not name_of(md).startswith("benchmarks/")
    ]
    home, groups, failed = notebooks.BUILD / "colab-env", {}, []
    with_extras = colab_environment(home)
    for md in mds: groups.setdefault(tuple(sorted(header(md).get("extras", ()))), []).append(md)
    for extras, group in sorted(groups.items(), key=lambda item: (len(item[0]), item[0])):
        run = functools.partial(run_in_colab, with_extras(extras), home=home)
        with ThreadPoolExecutor(2) as pool:
            for md, (problem, seconds) in zip(group, pool.map(run, group)):
                print(f"{name_of(md)}: {'failed' if problem else 'passed'} in {seconds:.0f} s",
                      flush=True)
                if problem: failed.append(f"{name_of(md)}:\n{problem}")
    if failed: sys.exit("\n\n".join(["", *failed]))
