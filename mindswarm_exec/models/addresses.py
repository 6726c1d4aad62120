"""Which host names and addresses mean this machine."""

from __future__ import annotations

import ipaddress

#: How the command line names itself to the API.
CLI_USER_AGENT = "mindswarm-exec-cli"


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine, whatever a resolver says."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
