"""Child processes under supervision: started, watched, started again with growing delay, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mindswarm_exec.cli import exits, lifeline

#: Seconds before the first restart; each further one waits twice as long, up to the last.
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 0.5, 30.0
#: A child that lived this long has recovered: its next restart is its first again.
RECOVERED_SECONDS = 60.0
#: The exit code of an agent whose name another process has taken: started again it would take it back, for ever.
NAME_TAKEN = 76
#: How often a stop looks whether a child has ended.
POLL_SECONDS = 0.05
#: Of a log that is searched for its last line.
TAIL_BYTES = 4096


@dataclass
class Child:
    """One subcommand of `mindswarm-exec` as a process of its own."""

    name: str
    arguments: list[str]  # after `python -m mindswarm_exec.cli`
    log: Path
    environment: Mapping[str, str]
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None  # on the monotonic clock; None while it runs, or when it stays ended
    _lifeline: int | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process. Its output goes to its log; it hears no Ctrl-C, and it ends if this process does."""
        reading, self._lifeline = os.pipe()
        ours = {lifeline.VARIABLE: str(reading), "PYTHONUNBUFFERED": "1", "MINDSWARM_TRACEBACK": "1"}
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603  # our own subcommand
                    # -P: a module of the same name in the working directory must not shadow the library's
                    [sys.executable, "-P", "-m", "mindswarm_exec.cli", *self.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**self.environment, **ours},
                    pass_fds=(reading,),
                    start_new_session=True,
                )
        finally:
            os.close(reading)
        self.started_at, self.restart_at = time.monotonic(), None

    def supervise(self, now: float) -> str | None:
        """Restart the process if it has ended and its delay has passed; answer a line when there is news."""
        if self.is_alive or self.process is None:
            return None
        if self.process.poll() == NAME_TAKEN:
            self.forget()
            return f"{self.name} has ended: another process has its name; it is not started again"
        if self.restart_at is None:
            if now - self.started_at > RECOVERED_SECONDS:
                self.restarts = 0
            delay = min(LAST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**self.restarts)
            self.restart_at = now + delay
            return f"{self.name} {self.how_it_ended()}; it is started again in {delay:g} s"
        if now < self.restart_at:
            return None
        self.restarts += 1
        self._let_go()
        self.start()
        return f"{self.name} runs again, as pid {self.pid}"

    def refuses_to_run(self) -> bool:
        """Whether it ended because what it was asked is malformed: starting it again cannot help."""
        return self.process is not None and self.process.poll() == exits.INVALID.code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it lives. Popen holds the pid until the end is seen, so it is never another's."""
        if self.process is not None:
            self.process.send_signal(number)

    def how_it_ended(self) -> str:
        """The end in words: signal or exit code, and the last line of the log."""
        code = self.process.poll() if self.process is not None else None
        if code is None:
            return "has not ended"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        last = last_line(self.log)
        return f"ended with exit code {code}" + (f" ({last})" if last else "")

    def forget(self) -> None:
        """Reap the ended process; it is started no more."""
        if self.process is not None:
            self.process.wait()
        self._let_go()
        self.process = None

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def stop_all(children: Iterable[Child], grace_seconds: float) -> list[str]:
    """Stop children together: SIGTERM, and SIGKILL to those that take longer; answer the names of those."""
    alive = [child for child in children if child.process is not None]
    for child in alive:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while any(child.is_alive for child in alive) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    stubborn = [child for child in alive if child.is_alive]
    for child in stubborn:
        child.signal(signal.SIGKILL)
    for child in alive:
        child.forget()
    return [child.name for child in stubborn]


def last_line(log: Path) -> str:
    """The last line that says something; "" if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")
