"""What is committed is what the notebooks make, on any machine; and the pipeline's own promises."""
import ast
import base64
import filecmp
import graphlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import colab
import docs
import nbformat
import notebooks
import pytest
import yaml

ROOT = notebooks.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources_of(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*.py"))


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    """A copy of the sources alone, from which everything is made; twice."""
    copy = tmp_path_factory.mktemp("clone") / "elsewhere"
    shutil.copytree(
        ROOT / "nbs",
        copy / "nbs",
        ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"),
        symlinks=True,
    )
    shutil.copytree(ROOT / "tools", copy / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "settings.ini", "_quarto.yml"): shutil.copy(ROOT / name, copy)
    env = notebooks.clean_env(copy.parent) | {"PYTHONPATH": ""}
    build = lambda: subprocess.run(
        [sys.executable, "tools/notebooks.py", "build"], cwd=copy, env=env, check=True
    )
    build()
    shutil.copytree(copy / "dl_utils", copy / "first")
    build()
    return copy


def test_export_equals_what_is_committed(rebuilt):
    assert sources_of(rebuilt / "dl_utils") == sources_of(ROOT / "dl_utils")
    same, different, missing = filecmp.cmpfiles(
        rebuilt / "dl_utils", ROOT / "dl_utils", sources_of(rebuilt / "dl_utils"), shallow=False
    )
    assert not different + missing
    assert not filecmp.cmpfiles(
        rebuilt / "dl_utils", rebuilt / "first", sources_of(rebuilt / "first"), shallow=False
    )[1]
    assert (rebuilt / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()


def test_export_names_the_markdown_and_indexes_symbols(rebuilt):
    module = (rebuilt / "dl_utils/models/unet.py").read_text()
    assert "File to edit: ../../nbs/models/unet.md." in module
    markers = re.findall(r"^# %% (\S+) #\S+$", module, re.M)
    assert set(markers) == {"auto", "../../nbs/models/unet.md"}
    index = {}
    exec((rebuilt / "dl_utils/_modidx.py").read_text(), index)
    assert "dl_utils.models.unet.UNet" in index["d"]["syms"]["dl_utils.models.unet"]
    assert (
        PROJECT["project"]["version"]
        == tomllib.loads((rebuilt / "pyproject.toml").read_text())["project"]["version"]
    )


def test_a_renamed_notebook_leaves_nothing_behind(rebuilt, tmp_path):
    copy = tmp_path / "renamed"
    shutil.copytree(rebuilt, copy, symlinks=True)
    layers = copy / "nbs/layers.md"
    layers.with_name("blocks.md").write_text(
        layers.read_text().replace("default_exp layers", "default_exp blocks")
    )
    layers.unlink()
    command = [sys.executable, "tools/notebooks.py", "build"]
    subprocess.run(command, cwd=copy, env=notebooks.clean_env(tmp_path), check=True)
    assert (copy / "dl_utils/blocks.py").exists() and not (copy / "dl_utils/layers.py").exists()
    assert not (copy / "nbs/layers.ipynb").exists()


def test_equal_cells_get_different_ids(workshop):
    md = workshop.write("twice", """
        # Twice

        ```python
        1 + 1
        ```

        ```python
        1 + 1
        ```
        """)
    first, second = ([cell.id for cell in notebooks.notebook(md).cells] for _ in range(2))
    assert first == second and len(set(first)) == 3
    nbformat.validate(notebooks.notebook(md))


def test_checkpoints_are_no_sources_and_foreign_notebooks_are_left_alone(workshop):
    workshop.write("page", "# Page\n")
    workshop.write(".ipynb_checkpoints/page-checkpoint", "# Page\n")
    assert [notebooks.name_of(md) for md in notebooks.sources()] == ["page"]
    foreign, page = workshop.root / "nbs/mine.ipynb", workshop.root / "nbs/page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), foreign)
    notebooks.write_notebooks()
    assert foreign.exists() and notebooks.made_here(page) and not notebooks.made_here(foreign)
    foreign.replace(page)
    with pytest.raises(SystemExit, match="would be lost"): notebooks.write_notebooks()
    notebooks.clean()
    assert page.exists()


def test_lines_of_equal_cells(workshop):
    md = workshop.write("twice", """
        # Twice, and x

        ```python
        x = 1
        ```

        Now x:

        ```python
        x
        ```

        ```python
        x
        ```
        """)
    lines = notebooks.cell_lines(md, notebooks.notebook(md))
    text = md.read_text().splitlines()
    code = [text[line - 1] for line in lines]
    assert code == ["# Twice, and x", "x = 1", "Now x:", "x", "x"] and lines == sorted(set(lines))


def test_a_failing_cell_is_shown(workshop):
    md = workshop.write("sub/broken", """
        # Broken

        ```python
        #| short: shortened = True
        print('before')
        ```

        ```python
        answer = 41
        assert answer == 42, 'not the answer'
        ```
        """)
    with pytest.raises(notebooks.CellFailed) as error: notebooks.execute(md, short=True)
    line = md.read_text().splitlines().index("answer = 41") + 1
    for part in (
        f"nbs/sub/broken.md:{line} ",
        "KERAS_MODULE unset",
        "assert answer == 42",
        "AssertionError: not the answer",
    ):
        assert part in str(error.value)
    assert error.value.reason == "AssertionError: not the answer"
    kept = nbformat.read(workshop.root / "_build/failed/default/sub/broken.ipynb", as_version=4)
    assert kept.cells[1].outputs[0].text == "before\n"


def test_a_warning_fails_and_flagged_cells_are_passed_over(workshop):
    md = workshop.write("loud", """
        # Loud

        ```python
        #| slow
        raise RuntimeError
        ```

        ```python
        #| eval: false
        raise RuntimeError
        ```

        ```python
        import warnings
        warnings.warn('mind the gap')
        ```
        """)
    with pytest.raises(notebooks.CellFailed, match="mind the gap"): notebooks.execute(md)
    with pytest.raises(notebooks.CellFailed, match="RuntimeError"):
        notebooks.execute(md, flags=["slow"])


def test_trainings_are_short_in_the_tests(workshop):
    md = workshop.write("training", """
        # Training

        ```python
        #| short: epochs = 2
        epochs = 40
        ```

        ```python
        #| full
        assert epochs == 40
        ```

        ```python
        epochs
        ```
        """)
    last = (
        lambda **how: nbformat.read(notebooks.execute(md, **how), as_version=4)
        .cells[-1]
        .outputs[0]
        .data["text/plain"]
    )
    assert last() == "40" and last(short=True) == "2"
    docs = notebooks.executed(md)  # the docs show the whole training
    assert docs.cells[-1].outputs[0].data["text/plain"] == "40"
    assert docs.cells[1].source == "#| short: epochs = 2\nepochs = 40"
    assert notebooks.without_marks(docs).cells[1].source == "epochs = 40"


def test_quick_finds_what_a_change_touches(rebuilt, tmp_path, monkeypatch):
    copy = tmp_path / "changed"
    shutil.copytree(rebuilt, copy, symlinks=True)
    for name, path in dict(ROOT="", NBS="nbs", LIB="dl_utils").items():
        monkeypatch.setattr(notebooks, name, copy / path)
    git = ["git", "-C", copy, "-c", "user.name=test", "-c", "user.email=test"]
    for command in ["init", "-q"], ["add", "nbs"], ["commit", "-qm", "all"]:
        subprocess.run([*git, *command], check=True)
    assert notebooks.touched() == []
    warmup = copy / "nbs/training/warmup.md"
    warmup.write_text(warmup.read_text() + "\nMore.\n")
    touched = notebooks.touched()
    assert touched[0] == "training/warmup" and {"training/finetune", "keras_utils"} <= set(touched)
    assert not {"data/masks", "models/unet"} & set(touched)


def test_warm_kernels_are_processes_of_their_own(workshop):
    """They have imported what they should, their own environment and folder, and end with their
    client."""
    md = workshop.write(
        "warm",
        """
        # Warm

        ```python
        import os, sys
        loaded = sorted({'this', 'dl_utils'} & set(sys.modules))
        loaded, os.getpid(), os.environ['MARK'], os.getcwd()
        ```
        """,
    )
    server = notebooks.warm_server("this")
    assert server == notebooks.warm_server("this")
    seen = []
    for mark in "one", "two":
        done = nbformat.read(
            notebooks.execute(md, env={"MARK": mark}, modules=("this",)), as_version=4
        )
        modules, pid, marked, folder = ast.literal_eval(done.cells[1].outputs[0].data["text/plain"])
        assert modules == ["this"] and marked == mark and not Path(folder).exists()
        with pytest.raises(ProcessLookupError): os.kill(pid, 0)
        seen.append(pid)
    assert len(set(seen)) == 2


def test_warm_programs_are_like_cold_ones(tmp_path):
    """Arguments, the file, standard streams and the exit status; also of an exception and of
    signals."""
    program = tmp_path / "program.py"
    program.write_text("""
import os, sys
print('this' in sys.modules, sys.argv[1:], __name__, __file__ == sys.argv[0], input())
if sys.argv[1] == '3': sys.exit(3)
if sys.argv[1] == 'x': raise KeyError('gone')
sys.stdout.flush()
os.kill(os.getpid(), int(sys.argv[1]))
""")
    options = dict(capture_output=True, text=True, input="read")
    seen = []
    for argument in "3", "x", "9", "11":
        command = [*notebooks.start_warm(("this",)), program, argument]
        done = subprocess.run(command, **options, env=notebooks.clean_env(tmp_path))
        assert done.stdout == f"True ['{argument}'] __main__ True read\n", done.stderr
        seen.append(done)
    assert seen[0].returncode == 3 and not seen[0].stderr
    assert seen[1].returncode == 1 and seen[1].stderr.endswith("KeyError: 'gone'\n")
    assert [done.returncode for done in seen[2:]] == [-9, -11]


OWNER = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import notebooks
server = notebooks.warm_server("this")
os.environ["JPY_PARENT_PID"] = str(os.getpid())
command = [sys.executable, sys.argv[1] + "/warm_kernel.py", "start", str(server)]
code = "import os; open('pids', 'w').write(f'{os.getpid()} {os.getppid()}')"
config = ["-f", os.path.abspath("kernel.json"), "--IPKernelApp.exec_lines=" + code]
subprocess.Popen([*command, *config], stderr=subprocess.DEVNULL)
sys.stdin.read()
"""


def is_running(pid):
    """Whether a process runs; a zombie does not."""
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError: return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_warm_kernels_end_with_whoever_started_them(tmp_path):
    """Their server and attendant, too, though their owner is killed."""
    env = notebooks.clean_env(tmp_path)
    command = [sys.executable, "-c", OWNER, str(ROOT / "tools")]
    owner = subprocess.Popen(command, cwd=tmp_path, env=env, stdin=subprocess.PIPE)
    with owner:
        for _ in range(300):
            if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text(): break
            time.sleep(0.1)
        pids = (tmp_path / "pids").read_text().split()
        assert len(pids) == 2 and all(map(is_running, pids))
        owner.kill()
    for _ in range(100):
        if not any(map(is_running, pids)): break
        time.sleep(0.1)
    assert not any(map(is_running, pids))


def test_execution_keeps_outputs_and_leaves_nothing(workshop):
    md = workshop.write("quiet", """
        # Quiet

        ```python
        import os, pathlib
        pathlib.Path('left.txt').write_text('something')
        (os.getpid(), os.getcwd())
        ```
        """)
    done = nbformat.read(notebooks.execute(md), as_version=4)
    pid, folder = ast.literal_eval(done.cells[1].outputs[0].data["text/plain"])
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError): os.kill(pid, 0)
    assert notebooks.executed(md).cells[1].outputs == done.cells[1].outputs  # not run again
    # a run on somebody's own data: not for the docs
    mine = notebooks.execute(md, out=workshop.root / "mine.ipynb")
    assert (
        mine == workshop.root / "mine.ipynb"
        and notebooks.executed(md).cells[1].outputs == done.cells[1].outputs
    )
    md.write_text(md.read_text().replace("something", "else"))
    assert notebooks.executed(md).cells[1].outputs != done.cells[1].outputs  # run again


def test_settings_and_pyproject_tell_the_same():
    publish, urls = notebooks.PUBLISH, PROJECT["project"]["urls"]
    assert urls["Repository"] == f"https://github.com/{publish['user']}/{publish['repo']}"
    assert (
        urls["Documentation"] == f"https://{publish['user'].lower()}.github.io/{publish['repo']}/"
    )
    assert PROJECT["tool"]["nbdev"].get("branch", "main") == publish["branch"]


KERAS_IMPORT = re.compile(
    r"keras_module import .*\b(?:keras|ops|PyDataset|register)\b|keras_utils import|loader import"
)


def test_headers_say_what_a_notebook_needs():
    """And the first cell of one that works on tf_keras only chooses it, so that it runs wherever it
    is opened."""
    extras = set(PROJECT["project"]["optional-dependencies"])
    for md in notebooks.sources():
        needs = notebooks.header(md)
        assert set(needs) <= {"flavours", "keras", "extras", "gpu"}, md
        assert set(needs.get("extras", ())) <= extras and needs.get("gpu", True) is True, md
        assert (
            needs.get("flavours", ["tf_keras"]) == ["tf_keras"]
            and needs.get("keras", False) is False
        ), md
        code = [cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "code"]
        if needs.get("flavours"): assert "os.environ['KERAS_MODULE'] = 'tf_keras'" in code[0], md
        if needs.get("keras") is False:
            assert not any(map(KERAS_IMPORT.search, code)), md


def test_headers_name_the_extras_that_cells_import():
    from dl_utils.keras_module import _INSTALL
    extras = {module: extra for extra, packages in _INSTALL.items() for module in packages}
    extras |= {"sklearn": "tutorials", "pydot": "tutorials"}
    for md in notebooks.sources():
        needs, imported = notebooks.header(md), set()
        for cell in notebooks.notebook(md).cells:
            if cell.cell_type != "code": continue
            lines = re.findall(r"^ *(?:import|from) ([\w., ]+)", cell.source, re.M)
            modules = [name for line in lines for name in line.split(" import ")[0].split(",")]
            packages = {module.strip().partition(".")[0] for module in modules}
            imported |= {extras[package] for package in packages & extras.keys()}
        named = set(needs.get("extras", ()))
        if "tutorials" in named: named |= {"notebook", "tuner", "jax"}
        if "bench" in named: named.add("torch")
        assert imported <= named, f"{md}: {imported - named}"


def test_copies_for_colab_install_what_they_need(workshop, monkeypatch):
    """In their first cell, where dl_utils is missing; no slow cell, no time of day; a GPU where the
    header says so."""
    text = """
        # One

        See [two](two.md).

        ```python
        #| short: n = 1
        n = 2
        ```

        ```python
        #| slow
        n = 3
        ```
        """
    one = workshop.write("one", text, extras=["onnx", "tiff"], gpu=True)
    two = workshop.write("two", text)
    nb = colab.for_colab(one)
    code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    assert code[0].startswith("from importlib.util import find_spec\n\nif find_spec('dl_utils')")
    assert f"{notebooks.DISTRIBUTION}[onnx,tiff] @ git+{notebooks.REPOSITORY}@" in code[0]
    assert code[1:] == ["n = 2"] and "n = 3" in nb.cells[-1].source
    assert notebooks.colab_url(two) in nb.cells[0].source + nb.cells[1].source
    assert nb.metadata.accelerator == "GPU" and "dl_utils" not in nb.metadata
    assert not any("execution" in cell.metadata for cell in nb.cells)
    without_code = workshop.write("three", "# Three\n\nNo code.\n")
    assert [cell.cell_type for cell in colab.for_colab(without_code).cells] == ["markdown"]
    plain = colab.for_colab(two)
    assert "accelerator" not in plain.metadata
    install = next(cell.source for cell in plain.cells if cell.cell_type == "code")
    assert f'"{notebooks.DISTRIBUTION} @ git+' in install


def test_widgets_of_copies_have_their_state():
    """GitHub shows no notebook whose metadata name widgets without their state."""
    pytest.importorskip("ipywidgets")
    nb = colab.for_colab(notebooks.by_name("plotting"))
    for kept in nb.metadata.get("widgets", {}).values(): assert kept["state"]
    assert nb.metadata.get("widgets")


def test_every_notebook_runs_with_nothing_set():
    cases = notebooks.cases()
    originals = {
        notebooks.name_of(md) for md in notebooks.sources() if md == notebooks.original(md)
    }
    assert {name for name, flavour, _ in cases if flavour == notebooks.DEFAULT} == originals
    assert {name for name, _, slow in cases if slow} >= {
        name for name in originals if name.startswith("benchmarks/")
    }
    again = {name for name, flavour, slow in cases if flavour == "tf_keras" and not slow}
    assert {"training/warmup", "metrics", "models/unet", "data/loader"} <= again
    assert not again & {"compression/pruning", "data/masks", "tutorials/03_training"}


IMPORT_ORDER = [
    ["keras_module"],
    ["utils"],
    ["layers", "metrics", "plotting"],
    ["data", "graph", "losses"],
    ["models", "training", "distillation", "export"],
    ["compression", "inference"],
    ["commands"],
    ["keras_utils", "tfmot_utils"],
]


def test_imports_run_one_way():
    """A module imports from floors below its own, and from its own folder without circles."""
    floor = {room: number for number, rooms in enumerate(IMPORT_ORDER) for room in rooms}
    modules = [
        name
        for name in map(notebooks.name_of, notebooks.sources())
        if (ROOT / f"dl_utils/{name}.py").exists()
    ]
    assert len(modules) > 30
    imports = {name: notebooks.imported_by(name) & set(modules) for name in modules}
    for name, used in imports.items():
        room = name.split("/")[0]
        for other in used:
            lower = floor[other.split("/")[0]] < floor[room]
            assert lower or other.split("/")[0] == room, f"{name} imports {other}"
    tuple(graphlib.TopologicalSorter(imports).static_order())  # CycleError names a circle


def test_what_make_demo_takes_is_told_everywhere():
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.split("\ndemo: build\n")[1].split("\n\n")[0]
    names = re.findall(r"\$\(if \$\(([A-Z_]+)\)", recipe)
    example = re.search(r"make demo( [A-Z_]+=\S+){5}", makefile)[0]
    assert names == re.findall(r"([A-Z_]+)=", example)
    assert example in (ROOT / "README.md").read_text()


def test_every_link_between_notebooks_leads_somewhere():
    for md in notebooks.sources():
        for _, target, anchor in notebooks.LINK.findall(md.read_text()):
            assert (md.parent / target).exists(), f"{md}: {target}"
            assert anchor == ")" or anchor[1:-1] in anchors(
                md.parent / target
            ), f"{md}: {target}{anchor}"


def anchors(md):
    """What links to headings of a notebook may name, as Quarto makes them."""
    cells = notebooks.notebook(md).cells
    return docs.anchors("\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))


def test_readme_is_a_first_screen():
    """Short, with an image; its links lead to pages of the site, its map has seven sections."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120 and ".md)" not in text
    images = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert images == ["nbs/images/first_screen.png"]
    assert (ROOT / images[0]).stat().st_size < 300_000
    links = re.findall(rf"\]\({re.escape(notebooks.SITE)}(\S+?)\.html(?:#(\S+))?\)", text)
    assert len(links) > 50
    for name, anchor in links:
        assert not anchor or anchor in anchors(notebooks.by_name(name)), f"{name}#{anchor}"
    sections = re.findall(r"^- \*\*.+", text.split("## Documentation")[1], re.M)
    assert len(sections) == 7 and all(1 < line.count("](") <= 8 for line in sections)
    features = re.findall(r"^\| .*\]\(.+\).* \| .*\d.* \|$", text, re.M)
    assert len(features) == 6


def test_translations_have_the_code_of_their_originals():
    """And prose in Russian, which nothing else is in; the outputs of one run stand in both."""
    code = lambda md: [
        cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "code"
    ]
    prose = lambda md: " ".join(
        cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "markdown"
    )
    cyrillic = re.compile("[а-яё]", re.I)
    translated = [md for md in notebooks.sources() if md != notebooks.original(md)]
    assert translated
    for md in translated:
        assert code(md) == code(notebooks.original(md)), md
        assert len(cyrillic.findall(prose(md))) > .6 * len(prose(notebooks.original(md))), md
    for md in set(notebooks.sources()) - set(translated):
        assert not cyrillic.search(md.read_text()), md


def test_a_translation_shows_the_run_of_its_original(workshop):
    workshop.write("tutorials/one", """
        # One

        ```python
        print("one run")
        ```
        """)
    md = workshop.write("tutorials/ru/one", """
        # Один

        ```python
        print("one run")
        ```
        """)
    assert [
        cell.outputs[0].text for cell in notebooks.executed(md).cells if cell.cell_type == "code"
    ] == ["one run\n"]
    assert [name for name, *_ in notebooks.cases()] == ["tutorials/one"]


def test_the_site_lists_every_notebook_once():
    assert (ROOT / "nbs/_quarto.yml").readlink() == Path("../_quarto.yml")
    listed = [page for _, page in docs.navigation()]
    made = [f"{notebooks.name_of(md)}.ipynb" for md in notebooks.sources()]
    assert sorted(listed) == sorted(made + [f"api/{name}.qmd" for name in docs.API])
    sections = list(dict.fromkeys(section for section, _ in docs.navigation()))
    assert sections == [
        "Home", "Tutorials", "Guides", "API", "How it works inside", "Benchmarks", "По-русски",
    ]


@pytest.fixture(scope="module")
def site(rebuilt, tmp_path_factory):
    """What `make docs` hands to Quarto, with no notebook executed, and what lies beside it."""
    home = tmp_path_factory.mktemp("site")
    env = notebooks.clean_env(home) | {"PYTHONPATH": str(rebuilt)}
    code = (
        "import sys; sys.path.insert(0, 'tools'); import docs\nif __name__ == '__main__':"
        " print(*docs.problems(docs.pages(run=False)), sep='\\n')"
    )
    (rebuilt / "pages.py").write_text(code)  # a file, for nbdev starts processes that import it
    command = [sys.executable, "pages.py"]
    done = subprocess.run(command, cwd=rebuilt, env=env, check=True, capture_output=True, text=True)
    assert not done.stdout.strip(), done.stdout
    return rebuilt


def test_pages_are_ready_for_quarto(site):
    """A page for each notebook, with the docs of its symbols; `problems` has found none in links,
    anchors, images, directives and the navigation."""
    folder = site / "_proc"
    made = {p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.ipynb")}
    assert made == set(map(notebooks.name_of, notebooks.sources()))
    shown = dict(docs.documented(folder / "models/unet.ipynb"))["UNet"]
    assert "Ronneberger" in shown
    assert "| `out_filters` | `int`, `1` | channels of the output" in shown
    settings = yaml.safe_load((folder / "settings.yml").read_text())["website"]
    assert settings["site-url"] == notebooks.SITE
    russian = nbformat.read(folder / "tutorials/ru/08_gpu.ipynb", as_version=4)
    assert "lang: ru" in russian.cells[0].source and "Скачать" in russian.cells[2].source


def test_problems_of_pages_are_found(site, tmp_path):
    """Each kind, in a copy of the pages."""
    folder = tmp_path / "pages"
    shutil.copytree(site / "_proc", folder)
    page = folder / "models/unet.ipynb"
    nb = nbformat.read(page, as_version=4)
    for text in (
        "[a](missing.ipynb)", "[b](#missing)", "![c](missing.png)", "#| export",
        '<img src="https://example.org/x.png">', "[[`UNet`](unet.ipynb)](unet.ipynb)",
    ):
        nb.cells.append(nbformat.v4.new_markdown_cell(text))
    nbformat.write(nb, page)
    shutil.copy(page, folder / "extra.ipynb")
    found = "\n".join(docs.problems(folder))
    for part in (
        "does not list extra.ipynb once", "link to missing.ipynb", "#missing", "missing.png",
        "#| export", 'loads <img src="https://example.org', "[[`UNet`](unet.ipynb)",
    ):
        assert part in found, part


def test_every_name_at_the_doors_has_a_page(site):
    """In the table of its door, and, if it is defined here, in the API beside its notebook."""
    names = docs.public_names()
    doors = [ROOT / f"dl_utils/{door}.py" for door in ("keras_utils", "tfmot_utils")]
    lists = [re.search(r"^__all__ = (\[.*?\])$", door.read_text(), re.M | re.S) for door in doors]
    assert set(names) == {name for found in lists for name in ast.literal_eval(found[1])}
    api = "".join(path.read_text() for path in (site / "_proc/api").glob("*.qmd"))
    for page in set(names.values()):
        assert page == "keras_module" or f"](../{page}.ipynb)" in api, page
    shown = set(re.findall(r"^### (\w+)$", api, re.M))
    assert len(shown) > 70 and not {"UNet", "MaxFscore", "Quantize"} - shown


def test_pages_as_markdown(site):
    """A `.html.md` for each page, which llms.txt lists, and which a module's docstring names."""
    beside = site / "_build/beside"
    listed = (beside / "llms.txt").read_text()
    for _, page in docs.navigation():
        target = Path(page).with_suffix(".html.md").as_posix()
        assert f"]({notebooks.SITE}{target})" in listed
        text = (beside / target).read_text()
        assert text.startswith("# ") and ".ipynb)" not in text and "page-links" not in text
    for module in (ROOT / "dl_utils").rglob("*.py"):
        pattern = rf'^Docs: {re.escape(notebooks.SITE)}(.+?)"*$'
        named = re.findall(pattern, module.read_text(), re.M)
        assert module.name in ("_modidx.py", "__init__.py") or len(named) == 1, module
        assert all((beside / target).exists() for target in named), module


def test_docs_without_quarto(monkeypatch):
    """One line says how to get it, with exit status 1; before, the pages are made and checked."""
    done = []
    monkeypatch.setattr(docs, "pages", lambda: done.append("made") or ROOT / "_proc")
    monkeypatch.setattr(docs, "problems", lambda folder: done.append("checked") or [])
    monkeypatch.setattr(docs.shutil, "which", lambda name: None)
    line = "^[^\n]*install Quarto 1.7[^\n]*https://quarto.org"
    with pytest.raises(SystemExit, match=line) as end: docs.docs()
    assert isinstance(end.value.code, str) and done == ["made", "checked"]


def test_benchmarks_show_their_last_full_run(workshop, capsys):
    """From a file in git, with date and machine; a cell that has changed since shows nothing."""
    md = workshop.write("benchmarks/one", """
        # One

        ```python
        print('measured')
        ```

        ```python
        6 * 7
        ```
        """)
    code = lambda nb: [cell for cell in nb.cells if cell.cell_type == "code"]
    outputs = lambda: [cell.outputs for cell in code(notebooks.published(md))]
    assert outputs() == [[], []]
    notebooks.bench()
    first, second = outputs()
    assert first[0].text == "measured\n" and second[0].data["text/plain"] == "42"
    note = notebooks.published(md).cells[1].source
    assert time.strftime("%Y-%m-%d") in note and "Python 3" in note
    md.write_text(md.read_text().replace("6 * 7", "7 * 6"))
    assert [len(shown) for shown in outputs()] == [1, 0]


def test_kept_benchmarks_belong_to_notebooks():
    kept = list((ROOT / "nbs/benchmarks/outputs").glob("*.json"))
    assert kept
    for path in kept:
        md = notebooks.by_name(f"benchmarks/{path.stem}")
        cells = notebooks.with_kept_outputs(md).cells
        assert any(cell.get("outputs") for cell in cells), f"{md} has changed: make bench"
        assert path.stat().st_size < 300_000


def test_docstrings_become_tables():
    shown = docs.docstring_to_markdown(
        "```python\ndef add(\n    a, b:int=2, *, log:function=<lambda>, **kwargs\n):\n```\n"
        "*Add.*\n\n"
        "Args:\n    a, b: numbers,\n        of any size | kind.\n    **kwargs: more.\n\n"
        "Returns:\n    The sum of all: one number."
    )
    assert shown.split("\n")[5:] == [
        "*Add.*",
        "",
        "",
        "**Args**",
        "",
        "| argument | type, default | |",
        "|---|---|-------|",
        r"| `a`, `b` | `int`, `2` | numbers, of any size \| kind. |",
        "| `**kwargs` |  | more. |",
        "",
        "",
        "**Returns**",
        "",
        "The sum of all: one number.",
    ]


def test_widgets_are_shown_as_they_were(workshop):
    """A live one would need scripts from another host."""
    md = workshop.write("widget", """
        # Widget

        ```python
        import ipywidgets
        out = ipywidgets.Output()
        with out: print('inside')
        image = ipywidgets.Image(value=b'pixels')
        ipywidgets.VBox([ipywidgets.IntSlider(), out, ipywidgets.HTML('<i>text</i>'), image])
        ```

        ```python
        from IPython.display import HTML
        HTML('<b>bold</b>')
        ```
        """, extras=["notebook"])
    nb = docs.static_outputs(nbformat.read(notebooks.execute(md), as_version=4))
    inside, text, image = nb.cells[1].outputs
    assert inside.text == "inside\n" and "<i>text</i>" in text.data["text/markdown"]
    assert base64.b64decode(image.data["image/png"]) == b"pixels"
    assert "widgets" not in nb.metadata
    (shown,) = nb.cells[2].outputs
    assert "text/html" not in shown.data and "<b>bold</b>" in shown.data["text/markdown"]


def test_html_loads_nothing_from_elsewhere(workshop):
    md = workshop.write("page", """
        # Page

        Some $x^2$.

        ```python
        import matplotlib.pyplot as plt
        plt.plot([0, 1]);
        ```
        """)
    page = workshop.root / "page.html"
    notebooks.html(nbformat.read(notebooks.execute(md), as_version=4), page)
    assert "data:image/png;base64" in page.read_text()
    assert not re.findall(
        r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]+", page.read_text()
    )


def lessons_of(md):
    """The cells of a notebook that check something."""
    code = [cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "code"]
    return [
        source
        for source in code
        if "#| export" not in source and re.search(r"\bassert\b|raises", source)
    ]


def public_names():
    """(name, notebook) of all that the doors offer: the notebook that defines it."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "dl_utils/keras_utils.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name: node.module for alias in node.names}
    parts = re.search(
        r"^_NAMES = (\{.*?\})$", (ROOT / "dl_utils/tfmot_utils.py").read_text(), re.M | re.S
    )[1]
    for module, names in ast.literal_eval(parts).items(): found |= dict.fromkeys(names, module)
    return [
        (name, notebooks.by_name(module.replace(".", "/")))
        for name, module in sorted(found.items())
    ]


def test_names_at_the_doors_are_checked_in_their_notebook():
    names = public_names()
    assert len(names) > 80
    for name, md in names:
        assert any(re.search(rf"\b{name}\b", source) for source in lessons_of(md)), f"{md}: {name}"


# public, though no module imports them and no door offers them: users meet them in a warning, an
# error, a result or a lesson
MET_BY_USERS = {
    "Call", "Compression", "FixedRangeQuantizer", "KernelQuantizer",
    "RangeQuantizer", "Report", "SkippedSamples", "SparsityReport", "TFLiteContents",
    "TrainingStopped", "UnsupportedLayerError", "inspect_pairs", "main", "prune_applications",
}


def test_public_names_are_wanted():
    """A function or class is public if another module imports it, a door offers it, or a user meets
    it; methods aside."""
    wanted = {name for name, _ in public_names()} | MET_BY_USERS
    defined = {}
    for path in (ROOT / "dl_utils").rglob("*.py"):
        for node in ast.walk(tree := ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom): wanted |= {alias.name for alias in node.names}
        for node in tree.body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            if not any("patch" in ast.unparse(decorator) for decorator in node.decorator_list):
                defined.setdefault(node.name, path)
    assert not {name: str(path) for name, path in defined.items() if name not in wanted}
    assert MET_BY_USERS <= set(defined) and len(MET_BY_USERS) < 15


# words that CONTRIBUTING.md replaces, and how often each may stand where it means something else
REPLACED = {
    r"pictures?": 0,
    r"networks?": 20,  # neural, convolutional: the kind, not a Keras object
    r"void": 1,  # a name that users give to a class
    r"twins?": 0,
    r"swallow\w*": 0,
    r"anew": 0,
    r"helpers?": 3,
    r"whoever|nobody|somebody|everybody": 0,
    r"told": 0,
}


def test_one_word_for_each_concept():
    pages = {md: md.read_text() for md in notebooks.sources() if md == notebooks.original(md)}
    for word, allowed in REPLACED.items():
        pattern = re.compile(rf"\b(?:{word})\b", re.I)
        found = [
            f"{notebooks.name_of(md)}: {m[0]}"
            for md, text in pages.items()
            for m in pattern.finditer(text)
        ]
        assert len(found) <= allowed, (word, found)


def test_style():
    """pycodestyle, pyflakes and bugbear, over the cells of the notebooks, the tests and the tools;
    pyproject.toml configures them."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
