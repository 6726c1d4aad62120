"""A lock on a file that the kernel gives back when its holder dies, whatever ended it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet


class Lock:
    """An flock of this process alone: a forked child closes its copy, and cannot keep it from others."""

    _all: ClassVar[WeakSet[Lock]] = WeakSet()

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor  # -1 once released
        self._all.add(self)

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """Take the lock, or answer None at once if another open file holds it."""
        lock = cls(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.release()
            return None
        return lock

    @property
    def is_held(self) -> bool:
        return self.descriptor >= 0

    def release(self) -> None:
        """Close this process's descriptor; a server that inherited it keeps the lock."""
        if self.is_held:
            os.close(self.descriptor)
            self.descriptor = -1

    __del__ = release

    @classmethod
    def forget_all(cls) -> None:
        for lock in list(cls._all):
            lock.release()


os.register_at_fork(after_in_child=Lock.forget_all)
