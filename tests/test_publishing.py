"""Workflows, addresses, distribution and the branch for Colab."""
import re
import subprocess

import notebooks
import publish
import pytest
import yaml

ROOT = notebooks.ROOT
WORKFLOWS = {path.stem: path for path in (ROOT / ".github/workflows").iterdir()}


def workflow(name):
    return yaml.load(WORKFLOWS[name].read_text(), yaml.BaseLoader)  # `on` stays a string


def steps_of(name):
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def tracked_files():
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def test_workflows_run_what_runs_here():
    """Targets of the Makefile, and `.ci/run`."""
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[1].split()
    ran = {name: [step["run"] for step in steps_of(name) if "run" in step] for name in WORKFLOWS}
    assert ran == {
        "test": [".ci/run"],
        "docs": ["make docs"],
        "colab": ["make colab", "make publish-colab"],
        "release": ["make dist"],
    }
    for commands in ran.values():
        for command in commands:
            tool, _, target = command.partition(" ")
            assert command == ".ci/run" or tool == "make" and target in targets, command


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned(name):
    used = re.findall(r"uses: (.*)", WORKFLOWS[name].read_text())
    assert len(used) == sum("uses" in step for step in steps_of(name)) > 1
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_permissions_are_the_least():
    """A job that may write runs nothing that pip installed."""
    writes = {}
    for name in WORKFLOWS:
        assert workflow(name)["permissions"] == {} and "concurrency" in workflow(name)
        for job_name, job in workflow(name)["jobs"].items():
            assert int(job["timeout-minutes"]) <= 350
            permissions = {key for key, right in job["permissions"].items() if right == "write"}
            if permissions: writes[f"{name}.{job_name}"] = permissions
            for step in job["steps"]:
                if "actions/checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] == "false"
                assert "secrets." not in str(step)
    assert writes == {
        "docs.deploy": {"pages", "id-token"},
        "colab.branch": {"contents"},
        "release.pypi": {"id-token"},
    }


def test_workflows_are_about_the_branch_of_settings():
    for name in "test", "docs", "colab":
        assert workflow(name)["on"]["push"]["branches"] == [notebooks.PUBLISH["branch"]]
    assert workflow("release")["on"]["push"] == {"tags": ["v*"]}


def test_addresses_come_from_settings():
    """pyproject.toml, which pip reads, repeats them, and another test compares; what the build
    makes has them filled in."""
    user = notebooks.PUBLISH["user"].lower()
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if "dl_utils" not in path.relative_to(ROOT).parts
        and user in path.read_bytes().decode("utf-8", "replace").lower()
    }
    assert naming - {"README.md"} == {"settings.ini", "pyproject.toml"}


def test_addresses_are_filled_in(workshop):
    address = notebooks.REPOSITORY
    md = workshop.write("page", """
        # Page

        From {{repository}} into {{repo}}.

        ```python
        f'{{repo}}'
        ```
        """)
    text, code = notebooks.notebook(md).cells
    assert text.source.endswith(f"From {address} into {notebooks.PUBLISH['repo']}.")
    assert code.source == "f'{{repo}}'"
    assert f"git clone {address} &&" in (ROOT / "README.md").read_text()


def test_pip_is_given_the_name_of_the_distribution():
    """Else it refuses what it gets from git."""
    found = [
        name
        for path in [*notebooks.sources(), ROOT / "README.md"]
        for name in re.findall(r"([\w-]+)(?:\[[\w,]+\])? @ git\+", path.read_text())
    ]
    assert len(found) > 2 and set(found) == {notebooks.DISTRIBUTION}


@pytest.fixture
def repository(workshop, monkeypatch):
    """A repository with one commit, and a bare one beside it, which is its remote."""
    git = lambda *arguments: subprocess.run(
        ["git", "-C", workshop.root, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
    git("init", "--initial-branch=main")
    git("init", "--bare", "remote.git")
    (workshop.root / ".gitignore").write_text("/_build/\n*.ipynb\nremote.git/\n")
    git("add", ".gitignore")
    git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-m", "Begin")
    git("remote", "add", "origin", "remote.git")
    monkeypatch.delenv("REMOTE", raising=False)
    return git


def publish_colab(root, *names):
    for name in names:
        path = root / "_build/colab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    with pytest.raises(SystemExit) as end: publish.colab()
    return end.value.code


def test_the_colab_branch_is_one_commit_of_notebooks(workshop, repository, monkeypatch):
    git, branch = repository, notebooks.PUBLISH["colab_branch"]
    on_remote = lambda *arguments: git("--git-dir=remote.git", *arguments, branch).split()
    pages = "index.ipynb", "tutorials/ru/one.ipynb"
    assert publish_colab(workshop.root, *pages, "log.txt") == 0
    assert on_remote("ls-tree", "-r", "--name-only") == ["index.ipynb", "tutorials/ru/one.ipynb"]
    first = on_remote("rev-parse")
    (workshop.root / "_build/colab/index.ipynb").unlink()
    monkeypatch.setenv("REMOTE", str(workshop.root / "remote.git"))
    assert publish_colab(workshop.root, "models/unet.ipynb") == 0
    assert on_remote("ls-tree", "-r", "--name-only") == [
        "models/unet.ipynb", "tutorials/ru/one.ipynb"
    ]
    assert on_remote("rev-list", "--count") == ["1"] and on_remote("rev-parse") != first
    assert on_remote("log", "--format=%an:%cn:%s")[0].startswith("A:A:Notebooks")
    assert git("status", "--porcelain") == "" and git("branch", "--list") == "* main"


def test_what_cannot_be_published_is_refused(workshop, repository, monkeypatch):
    assert "`make colab` writes them" in publish_colab(workshop.root)
    monkeypatch.setenv("REMOTE", "nowhere.git")
    assert publish_colab(workshop.root, "index.ipynb") not in (0, None)
    monkeypatch.setattr(notebooks, "PUBLISH", {"branch": "main", "colab_branch": "main"})
    assert "has the sources" in publish_colab(workshop.root)


def test_a_tag_must_fit_the_version():
    publish.check_tag(None)
    with pytest.raises(SystemExit, match="TAG='v99'.*so its tag is v0") as error:
        publish.check_tag("v99")
    publish.check_tag(error.value.code.split()[-1])


@pytest.mark.slow
def test_the_distribution_works_in_a_clean_environment(tmp_path, monkeypatch, capfd):
    """What the last commit holds; needs the package index."""
    monkeypatch.delenv("TAG", raising=False)
    publish.dist(tmp_path / "dist")
    wheel, = (tmp_path / "dist").glob("dl_utils_keras-*-py3-none-any.whl")
    sdist, = (tmp_path / "dist").glob("dl_utils_keras-*.tar.gz")
    assert max(wheel.stat().st_size, sdist.stat().st_size) < 1_000_000
    printed = capfd.readouterr().out
    assert "No broken requirements found." in printed and "trains and predicts" in printed
    assert printed.count("PASSED") == 2  # twine
