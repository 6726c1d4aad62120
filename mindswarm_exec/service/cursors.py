"""Cursors of listings: the place where a page ends, as text. Pure."""

from __future__ import annotations

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger.listings import Order


def cursor_at(place: Order) -> str:
    return f"{place[0]}:{place[1]}"


def place_at(cursor: str | None) -> Order | None:
    """The place of a cursor; None for none.

    Raises:
        InvalidRequest: it is no cursor of a listing.
    """
    if cursor is None:
        return None
    at, _, name = cursor.partition(":")
    if not (at.isascii() and at.isdigit()) or len(at) > 15 or not name:
        raise InvalidRequest("the cursor does not fit: pass next_cursor of the previous page as it was, or none.")
    return int(at), name
