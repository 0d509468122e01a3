"""Files of the repository that pages link to become pages, so that the site is whole and every link is checked.

Links are written as they hold in the repository. README is the first page; another Markdown file becomes a page, and
any other file a page that shows it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^ *(```|~~~)")
_origin: dict[str, str] = {}
"""Of each page that is made here, the file that it shows, from the root."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds README as the first page, the project's own pages, and what they and all others link to."""
    _origin.clear()
    waiting = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md"]
    for file in files.documentation_pages():
        waiting += _links(f"docs/{file.src_uri}", file.content_string)
    while waiting:
        path = waiting.pop()
        if path.startswith("docs/") or not (ROOT / path).is_file() or _page(path) in _origin:
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".md"):
            waiting += _links(path, text)
        else:
            kind = {".py": "python", ".yaml": "yaml", ".toml": "toml"}.get(Path(path).suffix, "text")
            text = f"# {path}\n\n````{kind}\n{text}\n````\n"
        _origin[_page(path)] = path
        page = File.generated(config, _page(path), content=text)
        if not path.endswith(".md"):
            page.inclusion = page.inclusion.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages."""
    here = page.file.src_uri
    source = _origin.get(here, f"docs/{here}")

    def moved(match: re.Match[str]) -> str:
        target = _target(source, match["path"])
        if target is None or (source.startswith("docs/") and target.startswith("docs/")):
            return match[0]
        place = target.removeprefix("docs/") if target.startswith("docs/") else _page(target)
        return posixpath.relpath(place, posixpath.dirname(here) or ".") + (match["anchor"] or "")

    return "\n".join(LINK.sub(moved, line) if prose else line for line, prose in _lines(markdown))


def _links(source: str, text: str) -> list[str]:
    found = (_target(source, match["path"]) for line, prose in _lines(text) if prose for match in LINK.finditer(line))
    return [target for target in found if target is not None]


def _lines(text: str) -> list[tuple[str, bool]]:
    """Each line, and whether it is prose and no code."""
    found, code = [], False
    for line in text.split("\n"):
        fence = bool(FENCE.match(line))
        found.append((line, not code and not fence))
        code ^= fence
    return found


def _target(source: str, link: str) -> str | None:
    """Where a link leads, from the root; None where it leads out of the repository."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return None if target.startswith("..") else target


def _page(path: str) -> str:
    if path == "README.md":
        return "index.md"
    return f"repository/{path}" if path.endswith(".md") else f"repository/{path}.md"
