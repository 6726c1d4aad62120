"""`python -m mindswarm_exec.cli` is `mindswarm-exec`."""

from mindswarm_exec.cli.main import main

main()
