"""Where plain http may go: this machine, and a tailnet, which encrypts by itself."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TAILNET = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))


def is_private(address: Address) -> bool:
    """Whether `address` is loopback or in a tailnet's range."""
    mapped = getattr(address, "ipv4_mapped", None)
    found = mapped or address
    return found.is_loopback or any(found in network for network in _TAILNET)


def may_be_private(host: str) -> bool:
    """Whether `host`, as a URL has it, is such an address or a name that can stand for one: `localhost`, a name of a
    tailnet, with or without its domain. What a name leads to is judged again at each connection.
    """
    try:
        return is_private(ipaddress.ip_address(host))
    except ValueError:
        return host.endswith(".ts.net") or "." not in host
