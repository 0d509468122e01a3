"""YAML from outside: executes nothing, and builds no more than stands there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import KIB, read_bytes, text_of

if TYPE_CHECKING:
    import yaml

MOST = 256 * KIB
"""PyYAML reads some hundred KB a second; the longest line.yaml is a few."""
DEEPEST = 32
MOST_VALUES = 100_000
"""With every alias counted as what it stands for: nine lines can stand for a thousand million values."""

_LONGEST_INTEGER = 24
"""Characters, with separators: what a 64-bit integer may take."""


def read_yaml(path: Path) -> Any:
    """What a YAML file says.

    Raises:
        OSError: it cannot be read, is no regular file or has more than 256 KiB.
        ValueError: it is no YAML, sets a key twice, stands for more than ``MOST_VALUES`` values or is nested deeper
            than ``DEEPEST`` levels, or holds a value of which nothing can be made (a 99th of a month).
    """
    return parse_yaml(text_of(read_bytes(path, MOST)))


def parse_yaml(text: str) -> Any:
    """As `read_yaml`, of a text."""
    import yaml

    if depth := _brackets(text):
        raise ValueError(f"it is nested deeper than {DEEPEST} levels: {depth} brackets are open at once")
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return None
        _refuse_repeated_keys(node)
        _count(node, {}, set(), 1)
        # Built from what was looked at, so that no second reading can differ.
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {error}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    except (OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ValueError(f"a value in it cannot be read: {type(error).__name__} {error}") from error


def _brackets(text: str) -> int:
    """How many brackets may be open at once, if too many: quoted ones count, too, which only errs on the safe side."""
    depth = most = 0
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    for char in text:
        if char in "[{":
            depth += 1
            most = max(most, depth)
        elif char in "]}":
            depth = max(depth - 1, 0)
    return most if most > DEEPEST else 0


def _refuse_repeated_keys(node: yaml.Node) -> None:
    """YAML takes the last of two equal keys, and the first setting, an ejector perhaps, is gone without a word.

    What a merge (``<<``) brings may be overridden: only keys that stand in one and the same block are compared.

    Raises:
        ValueError: two keys of a block are the same.
    """
    import yaml

    nodes, looked_at = [node], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in looked_at:  # an anchor is the same node wherever it is used, even in itself
            continue
        looked_at.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in first:
                    raise ValueError(
                        f"it sets {key.value} twice, in line {first[key.value]} and line {key.start_mark.line + 1}, "
                        "and only the last would count: remove one, or make one block of both"
                    )
                if isinstance(key, yaml.ScalarNode):
                    first[key.value] = key.start_mark.line + 1
                nodes += [key, value]


def _count(node: yaml.Node, counted: dict[int, int], above: set[int], depth: int) -> int:
    """How many values ``node`` stands for, aliases written out."""
    import yaml

    if id(node) in above:
        raise ValueError("an alias in it stands for what holds the alias")
    if depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
        return 1
    if id(node) not in counted:
        assert isinstance(node, yaml.CollectionNode)
        inside = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        above.add(id(node))
        total = 1 + sum(_count(part, counted, above, depth + 1) for part in inside)
        above.remove(id(node))
        if total > MOST_VALUES:
            raise ValueError(f"with its aliases written out it has {total:,} values, and {MOST_VALUES:,} are the most")
        counted[id(node)] = total
    return counted[id(node)]


def _check_scalar(node: yaml.ScalarNode) -> None:
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _LONGEST_INTEGER:
        raise ValueError(f"line {node.start_mark.line + 1}: an integer of {len(node.value)} digits is beyond 64 bits")
    if any("\ud800" <= char <= "\udfff" for char in node.value):
        raise ValueError(f"line {node.start_mark.line + 1} holds half a character")
