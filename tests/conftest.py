"""What the tests share: programs in processes of their own, a pipeline on an empty folder."""
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import notebooks
import pytest
import yaml

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def program(tmp_path):
    """Run a program of `tests/programs` in a process of its own, in a temporary folder."""

    def run(name, *args, flavour=notebooks.DEFAULT, check=True, **env):
        """What it printed; without `check` the finished process, whatever its exit status."""
        command = [sys.executable, PROGRAMS / name, *map(str, args)]
        env = notebooks.clean_env(tmp_path, flavour, **env)
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        done.stderr = notebooks.NATIVE_LOG.sub("", done.stderr)
        if not check: return done
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

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
