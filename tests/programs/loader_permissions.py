"""Folder in argv: files and a folder that the user may not read. Root may read everything, so the
process becomes another user."""
import os
import sys
from contextlib import contextmanager

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.data.validation import check


@contextmanager
def other_user():
    if os.getuid() == 0: os.seteuid(65534)
    try: yield
    finally:
        if os.getuid() == 0: os.seteuid(0)


def show_error(path):
    try: SegDataLoader(path, 4)
    except PermissionError as error: print(error)


SegDataLoader(make_shapes_dataset("warm", 2), 4)[0]  # everything is imported
path = make_shapes_dataset(f"{sys.argv[1]}/set", n=3)
for file in "inp/0001.png", "out/0002.png": os.chmod(path / file, 0)
with other_user():
    print(check(path, 4).kinds)
    show_error(path)
os.chmod(path / "out", 0)
with other_user(): show_error(path)
os.chmod(path / "out", 0o755)
