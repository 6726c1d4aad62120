"""Handlers that run in processes of their own: started, limited, frozen and killed by the agent.

    agent (process.py: a Supervision for each attempt)
      ├── control socket: requests ──> zygote (zygote.py) ── fork ──> child (child.py)
      │                                  below its warden (warden.py), which ends what both of them left
      ├── tether: pid and exit status, from the zygote
      ├── channel: frames to and from the child (wire.py)
      └── pipes: the child's stdout and stderr

The zygote has imported the agent's module and runs nothing else, so a fork of it starts a handler in milliseconds.
"""
