"""Imagined worlds: what would happen to many clients, in virtual time, with the product's own code.

    from steadwire import sim
    print(sim.herd(clients=1_000_000, policy="steadwire").t100_s)
    print(sim.fleet(clients=20, days=90, profile="mobile").reliability_pct)

    sketch = sim.study(policies=["steadwire", "fixed"], clients=200, seeds=range(1, 21))
    print(sim.report(sketch))

The same arguments give the same answer on every machine. Calls release the GIL. `run` lives through
one shard of a study and gives back its sketch; sketches merge in any order.
"""

from steadwire.sim.explore import Exploration, explore
from steadwire.sim.fleet import Fleet, World, fleet
from steadwire.sim.herd import Herd, Policy, herd, policies
from steadwire.sim.report import report
from steadwire.sim.runners import StudyError
from steadwire.sim.sketch import Part, Sketch, SketchError
from steadwire.sim.study import run, study
from steadwire.sim.traces import Trace, TraceError, load

__all__ = [
    "Exploration",
    "Fleet",
    "Herd",
    "Part",
    "Policy",
    "Sketch",
    "SketchError",
    "StudyError",
    "Trace",
    "TraceError",
    "World",
    "explore",
    "fleet",
    "herd",
    "load",
    "policies",
    "report",
    "run",
    "study",
]
