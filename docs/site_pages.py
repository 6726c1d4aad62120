"""What the site makes of the pages beyond Markdown: the changes as a page, fences with a word for the tests, and the
drawing of the states in the page's own colours. mkdocs calls the functions `on_…`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page
    from mkdocs.structure.toc import AnchorLink

#: A fence that a test runs.
RUN = re.compile(r"^```(\w+) runnable$", re.MULTILINE)
PICTURE = re.compile(r'<p><img [^>]*src="(\w+\.svg)"[^>]*></p>')
TEST = re.compile(r"<code>test_\w+</code>")
#: Files beside docs/ that pages link to, and what they are called in the site.
BESIDE = {"../CHANGELOG.md": "changes.md", "../README.md": "index.md"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Take in the changes, which stand where people look for them in a repository."""
    from mkdocs.structure.files import File

    changes = Path(config.docs_dir).parent / "CHANGELOG.md"
    files.append(File.generated(config, BESIDE["../CHANGELOG.md"], abs_src_path=str(changes)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page as the site's Markdown reads it."""
    for link, page in BESIDE.items():
        markdown = markdown.replace(f"]({link}", f"]({page}")
    return RUN.sub(r"```\1", markdown)


def on_page_content(content: str, *, page: Page, **_: Any) -> str:
    """The HTML of the page with its drawings in it, and with names of tests that may break after each word."""
    for entry in _entries(page.toc):
        entry.title = entry.title.removeprefix("mindswarm.")  # or each of these is cut off before it differs
    content = TEST.sub(lambda found: found[0].replace("_", "_<wbr>"), content)
    return PICTURE.sub(_within, content)


def _entries(contents: Iterable[AnchorLink]) -> Iterator[AnchorLink]:
    for entry in contents:
        yield entry
        yield from _entries(entry.children)


def _within(found: re.Match[str]) -> str:
    """The picture as part of the page, which may be dark while the system is not."""
    return (Path(__file__).parent / found[1]).read_text(encoding="utf-8").strip()
