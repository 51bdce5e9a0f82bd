"""What the tests share: programs in processes of their own, a pipeline on an empty folder."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import notebooks
import pytest
import yaml

PROGRAMS = Path(__file__).parent / "programs"

# Tests run side by side, one for each core. TensorFlow would start threads for all cores in each
# of them, and those that wait for work take time from the other tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    for kind in "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS":
        os.environ.setdefault(kind, "1")
# facts about large datasets belong to this project's build, not to the user's cache
os.environ["XDG_CACHE_HOME"] = str(notebooks.BUILD / "cache")


@pytest.fixture
def start_program(tmp_path):
    """Start a program of `tests/programs` in a process of its own, in a temporary folder."""

    def start(name, *arguments, flavour=notebooks.DEFAULT, options=None, warm=(), **env):
        """The running process; its output is read from pipes unless `options` of Popen differ.
        It is a fork of a process that has imported the `warm` modules."""
        python = notebooks.start_warm(warm) if warm else [sys.executable]
        command = [*python, str(PROGRAMS / f"{name}.py"), *map(str, arguments)]
        env = notebooks.clean_env(tmp_path, flavour, **env)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env=env, **pipes | (options or {}))

    return start


@pytest.fixture
def program(start_program):
    """Run such a program to its end, with TensorFlow imported already."""

    def run(name, *arguments, flavour=notebooks.DEFAULT, check=True, cold=False, **env):
        """What it printed; without `check` the ended process, whatever its exit status.
        Programs that are about imports, or need other variables than `flavour`, start `cold`."""
        warm = () if cold or env else notebooks.imports_for(flavour)
        process = start_program(name, *arguments, flavour=flavour, warm=warm, **env)
        process.printed, errors = process.communicate()
        process.errors = notebooks.NATIVE_LOG.sub("", errors)
        if not check: return process
        assert process.returncode == 0, process.errors
        return process.printed.strip()

    return run


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """The pipeline, working on an empty folder of notebooks; `write(name, text)` adds one."""
    for name, path in dict(ROOT="", NBS="nbs", BUILD="_build", LIB="lib").items():
        monkeypatch.setattr(notebooks, name, tmp_path / path)

    def write(name, text, **needs):
        kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        metadata = {"jupyter": {"kernelspec": kernel, "dl_utils": {"keras": False} | needs}}
        md = tmp_path / "nbs" / f"{name}.md"
        md.parent.mkdir(parents=True, exist_ok=True)
        head = f"---\n{yaml.safe_dump(metadata)}---\n\n"
        md.write_text(head + textwrap.dedent(text).strip() + "\n")
        return md

    return SimpleNamespace(write=write, root=tmp_path)
