"""The peers against which steadwire is proven: servers, a fault proxy, hostile servers, bad
certificates.

Everything here runs on loopback. The module directory `tests/support` must be on `sys.path`; each
peer that is a process of its own is started as `python -m peers.<name>` or through `peers.process`.
"""
