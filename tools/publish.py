"""What is published: the distribution for PyPI, and the branch that Colab reads.

    python tools/publish.py dist [FOLDER]   make sdist and wheel of HEAD, check, install, try them
    python tools/publish.py colab           push _build/colab/ as the only commit of its branch

`dist` compares the variable TAG, if it is set, with the version in pyproject.toml. `colab` pushes
to REMOTE, a name or an address; without it to origin.
"""
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import notebooks

PACKAGED = "dl_utils", "pyproject.toml", "README.md", "LICENSE"
SMOKE_TEST = Path(__file__).parent.parent / "tests/programs/installed_package.py"


def run(*command, **options):
    subprocess.run(command, check=True, **options)


def git(*arguments, **options):
    """What a git command prints."""
    command = ["git", "-C", notebooks.ROOT, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def pip_install(python, *packages):
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)


def new_environment(folder, *packages):
    """A virtual environment with these packages alone; its Python."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if packages: pip_install(python, *packages)
    return python


def wheel_of_tree(folder):
    """A wheel of the working tree, committed or not; its path."""
    with tempfile.TemporaryDirectory(prefix="wheel-") as tmp:
        copy = Path(tmp)  # setuptools leaves its own files where it builds
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(notebooks.LIB, copy / "dl_utils", ignore=skip)
        for name in set(PACKAGED) - {"dl_utils"}: shutil.copy(notebooks.ROOT / name, copy)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, copy,
            stdout=subprocess.DEVNULL)
    wheel, = Path(folder).glob("*.whl")
    return wheel


def check_tag(tag):
    version = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text())["project"]["version"]
    if tag and tag != f"v{version}":
        sys.exit(f"TAG={tag!r}: pyproject.toml has the version {version}, so its tag is v{version}")


def dist(folder="dist"):
    """Sdist and wheel of what is committed, installed and tried in an environment of its own."""
    check_tag(os.environ.get("TAG"))
    folder = notebooks.ROOT / folder
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="dist-") as tmp:
        tmp = Path(tmp)
        with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD", *PACKAGED))) as archive:
            archive.extractall(tmp / "sources", filter="data")
        python = new_environment(tmp / "tools", "build", "twine")
        run(python, "-m", "build", "--outdir", folder, tmp / "sources")
        run(python, "-m", "twine", "check", "--strict", *folder.iterdir())
        print("installing the wheel into an environment of its own", flush=True)
        wheel, = folder.glob("*.whl")
        python = new_environment(tmp / "user", wheel)
        run(python, "-m", "pip", "check")
        run(python, "-I", SMOKE_TEST, cwd=tmp, env=notebooks.clean_env(tmp))
    for path in sorted(folder.iterdir()):
        print(f"{os.path.relpath(path)}  {path.stat().st_size / 1000:.0f} kB")


def colab():
    """One commit without a parent, that holds the notebooks and nothing else, takes the place of
    the branch."""
    made, branch = notebooks.BUILD / "colab", notebooks.PUBLISH["colab_branch"]
    if branch == notebooks.PUBLISH["branch"]:
        sys.exit(f"settings.ini: colab_branch={branch!r} has the sources; name another branch")
    if not any(made.rglob("*.ipynb")):
        sys.exit(f"{os.path.relpath(made)}/ has no notebooks; `make colab` writes them")
    name, email, source = git("log", "-1", "--format=%an%n%ae%n%h", text=True).splitlines()
    with tempfile.TemporaryDirectory() as tmp:
        env = os.environ | {"GIT_INDEX_FILE": f"{tmp}/index"}
        for role in "AUTHOR", "COMMITTER":
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": email}
        git_dir = git("rev-parse", "--absolute-git-dir", text=True).strip()
        run("git", f"--git-dir={git_dir}", f"--work-tree={made}", "add", "--force", "*.ipynb",
            cwd=made, env=env)
        tree = git("write-tree", env=env, text=True).strip()
        message = f"Notebooks of {source}"
        commit = git("commit-tree", tree, "-m", message, env=env, text=True).strip()
    remote = os.environ.get("REMOTE") or "origin"
    push = ["git", "push", "--force", remote, f"{commit}:refs/heads/{branch}"]
    # no traceback, for it would show the address
    sys.exit(subprocess.run(push, cwd=notebooks.ROOT).returncode)


if __name__ == "__main__":
    commands = {"dist": dist, "colab": colab}
    if len(sys.argv) < 2 or sys.argv[1] not in commands: sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
