"""Which archive a process has, by its settings."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from mindswarm_exec.errors import InvalidRequest

if TYPE_CHECKING:
    from mindswarm_exec.archive.store import Archive
    from mindswarm_exec.settings import Settings

#: Stands for no archive where there would be one by default.
OFF = "off"


def archive_url(settings: Settings) -> str | None:
    """Where the archive is; None if there is none. Beside an embedded server is one wherever SQLAlchemy is."""
    if settings.archive_url is not None:
        return None if settings.archive_url == OFF else settings.archive_url
    if settings.redis_url is not None or find_spec("sqlalchemy") is None:
        return None
    return f"sqlite:///{settings.data_dir.absolute() / 'archive.db'}"


def open_archive(settings: Settings) -> Archive | None:
    """The archive, not connected yet; None if there is none.

    Raises:
        InvalidRequest: one is asked for, and SQLAlchemy or the driver is not installed, or the URL is none of a
            database that fits.
    """
    url = archive_url(settings)
    if url is None:
        return None
    try:
        from mindswarm_exec.archive.store import Archive
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"MINDSWARM_ARCHIVE_URL needs {error.name}: pip install 'mindswarm-exec[archive]'."
        ) from None
    if settings.archive_url is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    return Archive(url, settings.namespace)
