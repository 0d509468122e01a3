"""What every image holds to; their syntax is checked by hadolint in `make lint`."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
IMAGES = sorted((REPOSITORY / "docker").glob("*.Dockerfile"))


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instruction and argument of each, comments left out and continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def test_there_is_an_image_for_each_kind_of_machine() -> None:
    assert [path.name.removesuffix(".Dockerfile") for path in IMAGES] == ["gpu", "jetpack6", "jetpack7"]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_is_small_unprivileged_and_tells_its_health(path: Path) -> None:
    found = instructions(path)
    users = [argument for name, argument in found if name == "USER"]
    assert users == ["10001:10001"]
    last_run = max(index for index, (name, _) in enumerate(found) if name == "RUN")
    assert found.index(("USER", users[0])) > last_run
    assert any(name == "HEALTHCHECK" and "/health" in argument for name, argument in found)
    assert ("ENTRYPOINT", '["snl-edge"]') in found
    assert ("CMD", '["stream", "run", "/etc/snl-edge/line.yaml"]') in found
    text = " ".join(argument for _, argument in found)
    assert "torch" not in text
    assert "[train" not in text
    assert [argument for name, argument in found if name == "ARG" and argument.startswith("BASE_IMAGE=nvcr.io/nvidia/")]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_what_an_image_copies_is_there_and_passes_the_ignore_file(path: Path) -> None:
    rules = [
        line for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"
    ]
    copied = [
        word
        for name, argument in instructions(path)
        if name == "COPY" and not argument.startswith("--from")
        for word in argument.split()[:-1]
    ]
    assert copied
    for word in copied:
        assert word.startswith("dist/snl_edge-") or (REPOSITORY / word).is_file(), word
        passes = False
        for rule in rules:  # the last rule that fits decides
            pattern = rule.removeprefix("!")
            if fnmatch.fnmatch(word, pattern) or word.startswith(f"{pattern}/"):
                passes = rule.startswith("!")
        assert passes, word


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_makes_its_environment_as_the_installer_does(path: Path) -> None:
    script = (REPOSITORY / "packaging/make-environment.sh").read_text(encoding="utf-8")
    known = set(re.findall(r"^    (--[a-z]+)\)", script, re.MULTILINE))
    (command,) = [argument for name, argument in instructions(path) if "make-environment.sh /opt" in argument]
    options = {word for word in shlex.split(command) if word.startswith("--")}
    assert {"--extras", "--pycuda"} <= options <= known


def test_the_composition_runs_the_line_that_the_images_run() -> None:
    service = yaml.safe_load((REPOSITORY / "docker/compose.yaml").read_text(encoding="utf-8"))["services"]["line"]
    assert any("/etc/snl-edge/line.yaml" in volume for volume in service["volumes"])
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert service["stop_grace_period"] == "30s"
