"""What is committed is what the notebooks make, on any machine; and the pipeline's own promises."""
import ast
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

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
    shutil.copytree(ROOT / "nbs", copy / "nbs", ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"), symlinks=True)
    shutil.copytree(ROOT / "tools", copy / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "settings.ini", "_quarto.yml"): shutil.copy(ROOT / name, copy)
    env = notebooks.clean_env(copy.parent) | {"PYTHONPATH": ""}
    build = lambda: subprocess.run([sys.executable, "tools/notebooks.py", "build"], cwd=copy, env=env, check=True)
    build()
    shutil.copytree(copy / "dl_utils", copy / "first")
    build()
    return copy


def test_export_equals_what_is_committed(rebuilt):
    assert sources_of(rebuilt / "dl_utils") == sources_of(ROOT / "dl_utils")
    same, different, missing = filecmp.cmpfiles(rebuilt / "dl_utils", ROOT / "dl_utils", sources_of(rebuilt / "dl_utils"), shallow=False)
    assert not different + missing
    assert not filecmp.cmpfiles(rebuilt / "dl_utils", rebuilt / "first", sources_of(rebuilt / "first"), shallow=False)[1]
    assert (rebuilt / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()


def test_export_names_the_markdown_and_indexes_symbols(rebuilt):
    module = (rebuilt / "dl_utils/models/unet.py").read_text()
    assert "File to edit: ../../nbs/models/unet.md." in module
    markers = re.findall(r"^# %% (\S+) #\S+$", module, re.M)
    assert set(markers) == {"auto", "../../nbs/models/unet.md"}
    index = {}
    exec((rebuilt / "dl_utils/_modidx.py").read_text(), index)
    assert "dl_utils.models.unet.UNet" in index["d"]["syms"]["dl_utils.models.unet"]
    assert PROJECT["project"]["version"] == tomllib.loads((rebuilt / "pyproject.toml").read_text())["project"]["version"]


def test_a_renamed_notebook_leaves_nothing_behind(rebuilt, tmp_path):
    copy = tmp_path / "renamed"
    shutil.copytree(rebuilt, copy, symlinks=True)
    data = copy / "nbs/data.md"
    data.with_name("images.md").write_text(data.read_text().replace("default_exp data", "default_exp images"))
    data.unlink()
    subprocess.run([sys.executable, "tools/notebooks.py", "build"], cwd=copy, env=notebooks.clean_env(tmp_path), check=True)
    assert (copy / "dl_utils/images.py").exists() and not (copy / "dl_utils/data.py").exists()
    assert not (copy / "nbs/data.ipynb").exists()


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
        print('before')
        ```

        ```python
        answer = 41
        assert answer == 42, 'not the answer'
        ```
        """)
    with pytest.raises(notebooks.CellFailed) as error: notebooks.execute(md)
    line = md.read_text().splitlines().index("answer = 41") + 1
    for part in (f"nbs/sub/broken.md:{line} ", "KERAS_MODULE=keras", "assert answer == 42", "AssertionError: not the answer"):
        assert part in str(error.value)
    assert error.value.reason == "AssertionError: not the answer"
    kept = nbformat.read(workshop.root / "_build/failed/keras/sub/broken.ipynb", as_version=4)
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
    with pytest.raises(notebooks.CellFailed, match="RuntimeError"): notebooks.execute(md, flags=["slow"])


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
    mine = notebooks.execute(md, out=workshop.root / "mine.ipynb")  # a run on somebody's own data: not for the docs
    assert mine == workshop.root / "mine.ipynb" and notebooks.executed(md).cells[1].outputs == done.cells[1].outputs
    md.write_text(md.read_text().replace("something", "else"))
    assert notebooks.executed(md).cells[1].outputs != done.cells[1].outputs  # run again


def test_a_demo_replaces_the_last_one_whole_or_not_at_all(workshop, monkeypatch, capsys):
    """What is in `demo/` comes from one run; one that fails leaves it alone and says so."""
    workshop.write(notebooks.DEMO, """
        # Demo

        ```python
        import os, pathlib
        out, epochs = pathlib.Path(os.environ['DEMO_OUT']), os.environ['EPOCHS']
        (out / 'shapes').mkdir()
        (out / 'curves.png').write_text(epochs)
        (out / 'scores.json').write_text('{"loss": %d}' % int(epochs))
        ```
        """)
    demo, files = workshop.root / "demo", ["01_segmentation.html", "01_segmentation.ipynb", "curves.png", "scores.json"]
    monkeypatch.setenv("DEMO_OUT", str(workshop.root / "mine"))  # a variable of the notebook, not of `make demo`
    for epochs in "1", "2":
        monkeypatch.setenv("EPOCHS", epochs)
        notebooks.demo()
        assert sorted(p.name for p in demo.iterdir()) == files and (demo / "curves.png").read_text() == epochs
        assert f"loss {epochs}.000" in capsys.readouterr().out
    before = {p.name: p.read_bytes() for p in demo.iterdir()}
    monkeypatch.setenv("EPOCHS", "three")
    with pytest.raises(SystemExit, match="(?s)invalid literal.*_build/failed/keras.*demo/ is left as it was"): notebooks.demo()
    assert {p.name: p.read_bytes() for p in demo.iterdir()} == before
    assert not (workshop.root / "mine").exists() and not list(notebooks.BUILD.glob("demo-*"))


def test_settings_and_pyproject_tell_the_same():
    publish, urls = notebooks.PUBLISH, PROJECT["project"]["urls"]
    assert urls["Repository"] == f"https://github.com/{publish['user']}/{publish['repo']}"
    assert urls["Documentation"] == f"https://{publish['user'].lower()}.github.io/{publish['repo']}/"
    assert PROJECT["tool"]["nbdev"].get("branch", "main") == publish["branch"]
    names = set(map(notebooks.name_of, notebooks.sources()))
    assert set(notebooks.RUN["by_turns"].split()) <= names
    assert notebooks.RUN["flavours"].split() == ["keras", "tf_keras", "tf.keras", "tfmot"]
    quick = [flavour for _, flavour, slow in notebooks.cases() if not slow]
    assert all(quick.count(flavour) > 10 for flavour in set(quick)) and len(set(quick)) == 4


def test_what_make_demo_takes_is_told_everywhere():
    makefile, tutorial = (ROOT / "Makefile").read_text(), notebooks.by_name(notebooks.DEMO).read_text()
    assert re.search(r"^export (.*)", makefile, re.M)[1].split() == list(notebooks.PARAMETERS)
    example = re.search(r"make demo( [A-Z_]+=\S+){5}", makefile)[0]
    assert re.findall(r"([A-Z_]+)=", example) == list(notebooks.PARAMETERS)
    readme = (ROOT / "README.md").read_text()
    assert example in readme and re.findall(r"^\| `([A-Z_]+)` \|", readme, re.M) == list(notebooks.PARAMETERS)
    assert all(f"'{name}'" in tutorial for name in notebooks.PARAMETERS)


def test_every_link_between_notebooks_leads_somewhere():
    for md in [*notebooks.sources(), ROOT / "README.md"]:
        for _, target, anchor in notebooks.LINK.findall(md.read_text()):
            assert (md.parent / target).exists(), f"{md}: {target}"
            assert anchor == ")" or anchor[1:-1] in anchors(md.parent / target), f"{md}: {target}{anchor}"


def anchors(md):
    """What links to headings of a notebook may name, as Quarto makes them."""
    headings = re.findall(r"^#+ (.+)", "\n".join(cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "markdown"), re.M)
    return {re.sub(r"^[^a-zа-яё]+", "", re.sub(r"[^\w .-]", "", heading.lower()).replace(" ", "-")) for heading in headings}


def test_translations_have_the_code_of_their_originals():
    """And prose in Russian, which nothing else is in; the outputs of one run stand in both."""
    code = lambda md: [cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "code"]
    prose = lambda md: " ".join(cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "markdown")
    cyrillic = re.compile("[а-яё]", re.I)
    translated = [md for md in notebooks.sources() if md != notebooks.original(md)]
    assert translated
    for md in translated:
        assert code(md) == code(notebooks.original(md)), md
        assert len(cyrillic.findall(prose(md))) > .6 * len(prose(notebooks.original(md))), md
    for md in set(notebooks.sources()) - set(translated): assert not cyrillic.search(md.read_text()), md


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
    assert [cell.outputs[0].text for cell in notebooks.executed(md).cells if cell.cell_type == "code"] == ["one run\n"]
    assert [name for name, *_ in notebooks.cases()] == ["tutorials/one"] and notebooks.flavours_of(md) == ["keras"]


def test_the_site_lists_every_notebook():
    site = yaml.safe_load((ROOT / "_quarto.yml").read_text())
    assert (ROOT / "nbs/_quarto.yml").readlink() == Path("../_quarto.yml")
    listed = re.findall(r"[\w/]+\.ipynb", str(site["website"]["sidebar"]))
    assert sorted(listed) == sorted(notebooks.name_of(md) + ".ipynb" for md in notebooks.sources())


def test_pages_are_ready_for_quarto(rebuilt, tmp_path):
    """What `make docs` hands to Quarto: a page for each notebook, with the docs of its symbols and links that lead somewhere."""
    env = notebooks.clean_env(tmp_path) | {"PYTHONPATH": str(rebuilt)}
    code = "import sys; sys.path.insert(0, 'tools'); import notebooks\nif __name__ == '__main__': print(notebooks.pages(run=False))"
    (rebuilt / "pages.py").write_text(code)  # a file, for nbdev starts processes that import it
    subprocess.run([sys.executable, "pages.py"], cwd=rebuilt, env=env, check=True, capture_output=True)
    folder = rebuilt / "_proc"
    made = {p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.ipynb")}
    assert made == set(map(notebooks.name_of, notebooks.sources()))
    for page in folder.rglob("*.ipynb"):
        text = "\n".join(cell.source for cell in nbformat.read(page, as_version=4).cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\(([^):#]+\.ipynb)", text): assert (page.parent / target).exists(), f"{page}: {target}"
        assert ".md)" not in text
    unet = nbformat.read(folder / "models/unet.ipynb", as_version=4)
    assert any("show_doc(UNet)" in cell.source for cell in unet.cells)
    shown = next(cell for cell in unet.cells if "show_doc(UNet)" in cell.source).outputs[0].data["text/markdown"]
    assert "Ronneberger" in shown and "- `out_filters`: channels" in shown


def test_docstrings_become_lists():
    shown = notebooks.google_to_markdown("*Add.*\n\nArgs:\n    a, b: numbers,\n        of any size.\n\nReturns:\n    The sum.")
    assert shown.split("\n") == ["*Add.*", "", "", "**Args**", "", "- `a`, `b`: numbers,", "  of any size.", "", "",
                                 "**Returns**", "", "The sum."]


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
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]+", page.read_text())


def test_public_names_are_asserted_in_their_notebook():
    """Every exported function and class is used in a cell that asserts something."""
    for md in filter(notebooks.is_component, notebooks.sources()):
        code = [cell.source for cell in notebooks.notebook(md).cells if cell.cell_type == "code"]
        lessons = "\n".join(c for c in code if "#| export" not in c and ("assert" in c or "raises" in c))
        for cell in (c for c in code if "#| export" in c):
            for node in ast.parse(cell).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                    assert re.search(rf"\b{node.name}\b", lessons), f"{md}: {node.name}"
