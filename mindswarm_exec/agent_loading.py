"""Find the agent that MODULE:ATTR names, and say what stands in the way if there is none."""

from __future__ import annotations

import importlib
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from mindswarm_exec.agent import Agent
from mindswarm_exec.errors import InvalidRequest


def load_agent(target: str) -> Agent:
    """The `Agent` at MODULE:ATTR; modules of the working directory count.

    Raises:
        InvalidRequest: there is no such module or attribute, the module cannot be imported, or it is no Agent.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise InvalidRequest(f"'{target}' does not name an agent: write MODULE:ATTR, such as myproject.agents:coder.")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` and `celery -A` do
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the lines of a module raise
        raise InvalidRequest(f"cannot load the agent '{target}': {_why(module_name, error)}") from error
    found = getattr(module, attribute, None)
    if isinstance(found, Agent):
        return found
    what = "there is no" if found is None else f"it is a {type(found).__name__}, not an Agent:"
    raise InvalidRequest(f"cannot load the agent '{target}': {what} {module_name}.{attribute}. {_agents_of(module)}")


def _why(module_name: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name in _and_its_parents(module_name):
        here = [path.stem for path in Path().glob("*.py")]
        likely = get_close_matches(module_name, here, n=1)
        hint = f"Did you mean '{likely[0]}'?" if likely else "Start it where the module is, or install it."
        return f"there is no module '{error.name}' in {Path.cwd()} or among what is installed. {hint}"
    return f"importing it failed{_place_of(error)}: {type(error).__name__}: {error}. Correct that first."


def _and_its_parents(module_name: str) -> list[str]:
    parts = module_name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _place_of(error: Exception) -> str:
    """The line of code that raised, past the machinery of imports."""
    if isinstance(error, SyntaxError):
        return ""  # its message ends with the place
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return f" at {lines[-1].filename}, line {lines[-1].lineno}" if lines else ""


def _agents_of(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Agent)]
    return f"Its agents are: {', '.join(names)}." if names else 'It has no agents; make one with Agent("name").'
