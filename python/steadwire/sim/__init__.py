"""Imagined worlds: what would happen to many clients, in virtual time, with the product's own code.

    from steadwire import sim
    print(sim.herd(clients=1_000_000, policy="steadwire").t100_s)

The same arguments give the same answer on every machine. Calls release the GIL.
"""

from steadwire.sim.explore import Exploration, explore
from steadwire.sim.fleet import Fleet, World, fleet
from steadwire.sim.herd import Herd, Policy, herd, policies
from steadwire.sim.traces import Trace, TraceError, load

__all__ = [
    "Exploration",
    "Fleet",
    "Herd",
    "Policy",
    "Trace",
    "TraceError",
    "World",
    "explore",
    "fleet",
    "herd",
    "load",
    "policies",
]
