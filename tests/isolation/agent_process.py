"""An agent's process for tests that kill it: it runs one attempt, and says when its zygote stands.

python -m tests.isolation.agent_process TASK_TYPE PAYLOAD
"""

from __future__ import annotations

import sys

from tests.isolation.attempts import LocalAttempt
from tests.isolation.conftest import SETTINGS, TARGET
from tests.isolation.handlers import agent
from workers.isolation.process import ProcessIsolation

if __name__ == "__main__":
    task_type, payload = sys.argv[1:]
    ProcessIsolation(TARGET, SETTINGS).run(agent.handlers[task_type], LocalAttempt(task_type, payload))
