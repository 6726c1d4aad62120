"""Findings of ruff on one file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

#: What is looked for: errors, likely bugs, needless complication, slow idioms, bare excepts, old idioms.
RULES = "E4,E7,E9,F,B,BLE,C4,C90,PERF,PIE,PLE,PLW,RET,SIM,UP"
#: Seconds for one file. Ruff needs some hundredths; a machine under load may need more.
TIMEOUT_SECONDS = 60
#: Findings kept per file; the counts are complete.
MAX_NAMED = 10


class Finding(BaseModel):
    """One place that a rule objects to."""

    model_config = ConfigDict(frozen=True)

    rule: str
    line: int
    message: str


class LintSummary(BaseModel):
    """The findings of a file: counted by rule, the first of them in full."""

    model_config = ConfigDict(frozen=True)

    total: int = 0
    fixable: int = 0
    by_rule: dict[str, int] = {}
    names: dict[str, str] = {}  # rule → its name in words
    first: tuple[Finding, ...] = ()


def run_ruff(path: Path) -> str:
    """Run ruff on a file and give its JSON. The project that the file is in configures nothing.

    Raises:
        RuntimeError: ruff is not installed, or it failed; the message has its own words.
    """
    command = [ruff_binary(), "check", "--isolated", "--no-cache", "--output-format", "json"]
    command += ["--select", RULES, "--target-version", "py311", "--exit-zero", "--", str(path)]
    done = subprocess.run(  # noqa: S603 - our own binary, and the path stands after `--`
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ruff ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def ruff_binary() -> str:
    """Find ruff beside this Python, else on the path.

    Raises:
        RuntimeError: it is in neither place.
    """
    beside = Path(sys.executable).with_name("ruff")
    found = str(beside) if beside.exists() else shutil.which("ruff")
    if found is None:
        raise RuntimeError("ruff is not installed. `pip install 'mindswarm-exec[survey]'` brings it.")
    return found


def summarise(output: str) -> LintSummary:
    """Summarise ruff's JSON output."""
    found: list[dict[str, Any]] = json.loads(output or "[]")
    findings = [
        Finding(rule=entry["code"] or "invalid-syntax", line=_line(entry), message=entry["message"])
        for entry in found
    ]
    return LintSummary(
        total=len(findings),
        fixable=sum(entry.get("fix") is not None for entry in found),
        by_rule=dict(Counter(finding.rule for finding in findings).most_common()),
        names={entry["code"] or "invalid-syntax": rule_name(entry) for entry in found},
        first=tuple(findings[:MAX_NAMED]),
    )


def rule_name(entry: dict[str, Any]) -> str:
    """The name of a finding's rule in words: `unused-import` for F401."""
    if entry.get("name"):
        return str(entry["name"])
    # before ruff 0.16 only the address of the rule's page has it
    return str(entry.get("url") or "invalid-syntax").rstrip("/").rpartition("/")[2]


def _line(entry: dict[str, Any]) -> int:
    return int((entry.get("location") or {}).get("row", 0))
