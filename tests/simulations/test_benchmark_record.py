"""What benchmarks write beside their figures."""

import subprocess

from simulations.benchmarks.record import commit


def git(place, *words):
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(["git", *who, *words], cwd=place, check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_is_marked_where_code_differs_but_not_where_pages_do(tmp_path):
    assert commit(tmp_path) == "unknown"
    (tmp_path / "docs").mkdir()
    for name in ("code.py", "docs/page.md"):
        (tmp_path / name).write_text("first\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    known = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    (tmp_path / "docs/page.md").write_text("second\n")
    assert commit(tmp_path) == known
    (tmp_path / "code.py").write_text("second\n")
    assert commit(tmp_path) == f"{known}-dirty"
