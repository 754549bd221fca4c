# SPDX-License-Identifier: MIT
"""Compares a restored tree with its source.

Names, kinds, modes, sizes and modification times of everything; the content of every eighth file
and of all large ones.
"""

import os
from pathlib import Path

CONTENT_EVERY = 8
CONTENT_ALWAYS_BYTES = 16 << 20
MISMATCHES_SHOWN_MAX = 10


def list_tree(root: Path) -> dict[str, tuple]:
    """Returns kind and mode, time, size or link target of everything below a folder."""
    found = {}
    for parent, folders, files in os.walk(root):
        for name in folders + files:
            path = f"{parent}/{name}"
            status = os.lstat(path)
            content: object = status.st_size
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isdir(path):
                content = "folder"
            found[path[len(str(root)) + 1:]] = (oct(status.st_mode), status.st_mtime_ns, content)
    return found


def same_content(left: str, right: str) -> bool:
    """Compares two files byte by byte."""
    with open(left, "rb") as one, open(right, "rb") as two:
        while True:
            piece = one.read(1 << 20)
            if piece != two.read(1 << 20):
                return False
            if not piece:
                return True


def restored_root(target: Path, source: Path) -> Path:
    """Finds the tree: some programs restore the whole path, some its last part, some no part."""
    candidates = (target / str(source).lstrip("/"), target / source.name)
    return next((path for path in candidates if path.is_dir()), target)


def compare(source: Path, target: Path) -> list[str]:
    """Returns the differences between the source and what was restored, at most a few."""
    root = restored_root(target, source)
    wanted, got = list_tree(source), list_tree(root)
    problems = []
    for name in sorted(wanted.keys() | got.keys()):
        if wanted.get(name) != got.get(name):
            problems.append(f"{name}: wanted {wanted.get(name)}, got {got.get(name)}")
    files = [name for name in sorted(wanted) if isinstance(wanted[name][2], int)]
    for number, name in enumerate(files):
        chosen = number % CONTENT_EVERY == 0 or wanted[name][2] > CONTENT_ALWAYS_BYTES
        is_file = isinstance(got.get(name, ("", 0, ""))[2], int)
        if chosen and is_file and not same_content(f"{source}/{name}", f"{root}/{name}"):
            problems.append(f"{name}: different content")
    return problems[:MISMATCHES_SHOWN_MAX]
