"""The Grafana dashboard and the alert rules ask for what a running line exports, and for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from contract_graph import HEIGHT, WIDTH, write_contract_bundle
from lines import line_config, running, wait_for, write_picture
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from snl_edge.stream.health import metrics

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
DASHBOARD = FOLDER / "grafana-dashboard.json"
RULES = FOLDER / "prometheus-rules.yaml"
_SELECTOR = re.compile(r"\b(snl_edge_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_OF_PROMETHEUS = {"instance", "job"}
"""Labels that it adds to what it scrapes."""

Series = list[tuple[str, dict[str, str]]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """All series of a line with a good part, a reject, a part of another product, a corrupt picture and outputs."""
    folder = tmp_path_factory.mktemp("monitoring")
    bundle = write_contract_bundle(folder / "bundle").path
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for name, content in {"good": np.full_like(noise, 20), "reject": noise // 8, "washer": noise}.items():
        write_picture(folder / "parts", name, content)
    (folder / "parts" / "corrupt.png").write_bytes(b"no picture")
    away = {"type": "modbus", "host": "127.0.0.1", "port": 9, "coil": 1, "travel": {"by": "time", "delay_ms": 0}}
    config = line_config(
        bundle,
        folder,
        camera={"product": "bolt"},
        sinks=[{"type": "jsonlines", "folder": folder / "out"}],
        actuators=[away],
    )
    with pytest.MonkeyPatch.context() as patched:  # sensors are hardware
        patched.setattr(metrics, "temperatures", lambda: {"cpu": 40.0})
        patched.setattr(metrics, "powers", lambda: {"board": 9.0})
        with running(config) as line:
            wait_for(lambda: line.ended)
            text = generate_latest(line.metrics.registry).decode()
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def queries() -> Iterator[tuple[str, str]]:
    """Where, and what is asked."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def selected(query: str, series: Series) -> Iterator[tuple[str, Series]]:
    """Each selector of a query with the series that it finds; those of Prometheus's own are left out."""
    for name, matchers in _SELECTOR.findall(query):
        found = [labels for own, labels in series if own == name]
        for label, operator, value in _MATCHER.findall(matchers):
            if label not in _OF_PROMETHEUS:
                assert operator in ("=", "=~")
                found = [
                    own for own in found if re.fullmatch(value if operator == "=~" else re.escape(value), own[label])
                ]
        if name != "up":
            yield name, [(name, labels) for labels in found]


@pytest.mark.parametrize(("where", "query"), list(queries()), ids=lambda value: value if "snl" not in value else "")
def test_every_query_finds_series_of_a_running_line(where: str, query: str, exported: Series) -> None:
    known = set(_OF_PROMETHEUS)
    for name, found in selected(query, exported):
        assert found, f"{where}: no series for {name} as asked"
        known |= {label for _, labels in found for label in labels}
    for labels in _GROUPED.findall(query):
        assert {label.strip() for label in labels.split(",")} <= known, where


def test_every_metric_is_shown(exported: Series) -> None:
    shown = " ".join(query for where, query in queries() if where.startswith("panel"))
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in exported}
    assert {name for name in names if name not in shown} == set()
    told = (FOLDER / "README.md").read_text()
    assert {name for name in names if f"`{name}`" not in told} == set()


def test_labels_in_texts_are_those_that_the_query_leaves(exported: Series) -> None:
    for rule in rules():
        text = rule["annotations"]["summary"]
        grouped = [{label.strip() for label in labels.split(",")} for labels in _GROUPED.findall(rule["expr"])]
        named = set(re.findall(r"\$labels\.(\w+)", text))
        left = {label for _, found in selected(rule["expr"], exported) for _, labels in found for label in labels}
        kept = (set.intersection(*grouped) if grouped else left) | ({"instance"} if not grouped else set())
        assert named <= kept, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not own & taken, panel["title"]
        taken |= own


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus")
def test_promtool_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True, capture_output=True)
