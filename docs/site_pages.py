"""What the site makes of the pages beyond Markdown: the changes as a page, fences with a word after their language,
and diagrams. mkdocs calls the functions `on_…`.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

FENCE = re.compile(r'^```(\w+)(?: runnable| title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
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
    return FENCE.sub(_fence, markdown)


def _fence(found: re.Match[str]) -> str:
    language, title, text = found.groups()
    if language == "mermaid":  # text until a script that may not come has drawn it
        return f'<pre class="mermaid">{html.escape(text, quote=False)}</pre>'
    named = f"`{title}`:\n\n" if title else ""
    return f"{named}```{language}\n{text}```"
