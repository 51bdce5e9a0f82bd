import subprocess
import sys
import textwrap
from types import SimpleNamespace

import notebooks
import pytest


@pytest.fixture
def python(tmp_path):
    """Run code in a fresh Python process, in a temporary folder, and give what it printed."""
    def run(code, flavour="keras", check=True, **env):
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path,
                              env=notebooks.clean_env(tmp_path, flavour, **env), capture_output=True, text=True)
        done.stderr = notebooks.NATIVE_LOG.sub("", done.stderr)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip() if check else done
    return run


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """The pipeline, working on an empty folder of notebooks; `write(name, text)` adds one."""
    for name, path in dict(ROOT=tmp_path, NBS=tmp_path / "nbs", BUILD=tmp_path / "_build", LIB=tmp_path / "lib").items():
        monkeypatch.setattr(notebooks, name, path)
    head = (notebooks.Path(__file__).parent.parent / "nbs/data.md").read_text().split("\n# ")[0]

    def write(name, text):
        md = tmp_path / "nbs" / f"{name}.md"
        md.parent.mkdir(parents=True, exist_ok=True)
        md.write_text(head + "\n" + textwrap.dedent(text).strip() + "\n")
        return md
    return SimpleNamespace(write=write, root=tmp_path)
