"""The test file that docs/ci.md shows, run as it stands there."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import harness as h

PAGE = h.SUITE.parent.parent / "docs" / "ci.md"


def run_page(directory: pathlib.Path, **environment: str) -> str:
    file = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S).group(1)
    (directory / "test_tokens.py").write_text(file)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_tokens.py"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_passes_with_an_emulator_that_it_starts_by_itself(tmp_path):
    programs = h.BINARY.parent

    assert "1 passed" in run_page(tmp_path, PATH=f"{programs}:{os.environ['PATH']}")


def test_the_page_passes_with_an_emulator_that_runs_already(tmp_path, hallpass):
    assert "1 passed" in run_page(tmp_path, HALLPASS_API=hallpass.base_url.removesuffix("/client/v4"))
