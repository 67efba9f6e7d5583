"""The wheel: what somebody who installs auditframe gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from auditframe import __version__

pytestmark = pytest.mark.zoneless  # a wheel holds files

ROOT = Path(__file__).parents[1]

_PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
import auditframe
from auditframe.catalogue import catalogue
print(auditframe.__file__)
print(auditframe.__version__)
print(catalogue()["api_key.created"].effect)
"""


def _run(*arguments: str | Path, folder: Path) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - our own
    if done.returncode:
        pytest.fail(done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
    _run(*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, folder=folder)
    (wheel,) = folder.glob("*.whl")
    _run(*pip, "install", "--no-index", "--no-deps", "--target", folder / "site", wheel, folder=folder)
    return folder / "site"


def test_the_wheel_imports_and_brings_its_catalogue(installed: Path) -> None:
    file, version, effect = _run("-c", _PROBE, installed, folder=installed).splitlines()

    assert Path(file).is_relative_to(installed)
    assert (version, effect) == (__version__, "create")


def test_the_wheel_says_that_it_is_typed(installed: Path) -> None:
    assert (installed / "auditframe" / "py.typed").exists()


def test_the_wheel_holds_the_package_and_the_licence_alone(installed: Path) -> None:
    tops = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} - {"bin"}

    assert tops == {"auditframe"}
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))
