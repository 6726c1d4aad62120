"""The embedded default: a Valkey server as a child process, its data under one directory.

    <data_dir>/lock         flock held by the server itself (it inherits the descriptor), so exactly as long
                            as it lives, whoever is killed: two servers never share a directory
    <data_dir>/owner        flock held by the process that will stop the server; free again when that
                            process dies, and then the next start adopts the server
    <data_dir>/server.json  port and pid: a hint where to ask, verified by the answer
    <data_dir>/server.log, appendonlydir/   the server's own

The two locks of the kernel carry the design; no file's content is believed without them.

The server lives as long as a process that uses it, by whatever that is ended: see `lifeline`. So it outlives an
owner that is killed while others use it, and ends in order when the last of them has gone.
"""

from mindswarm_exec.embedded.server import EmbeddedServer, ledger_url, start_embedded

__all__ = ["EmbeddedServer", "ledger_url", "start_embedded"]
