"""Stopping rules: every stopper, and the registry that holds them by name.

A new stopper is one file in this folder (docs/add-a-stopper.md); it is imported automatically and follows the
stoppers below in every list. docs/stoppers.md describes all of them.
"""

from importlib import import_module
from pkgutil import iter_modules

from adaedl.stopping.base import (
    DistributionStopper,
    DraftStep,
    ScoreStopper,
    Stopper,
    acceptance_lower_bound,
)
from adaedl.stopping.describe import describe_stoppers
from adaedl.stopping.fault_checks import StopperFault, checked, construct
from adaedl.stopping.registry import (
    LIVE_STOPPERS,
    STOPPERS,
    check_live,
    register_stopper,
    unregister_stopper,
)
from adaedl.stopping.settings import (
    DEEPEST_DEFAULT,
    DEFAULT_MAX_DRAFT,
    MAX_DRAFT_LIMIT,
    Setting,
    draft_length,
    longest_draft,
    number,
    settings_of,
    switch,
    whole,
)
from adaedl.stopping.specs import format_spec, limit_draft, make_stopper, split_specs

# isort: off
# The order of stoppers in every menu and table.
from adaedl.stopping.fixed import Autoregressive, Fixed
from adaedl.stopping.adaptive import AdaEDL, AdaptiveStopper, MaxConfidence
from adaedl.stopping.static import SVIP, Margin
from adaedl.stopping.assisted import Confidence, Heuristic
from adaedl.stopping.bandit import Bandit
from adaedl.stopping.survival import Survival
from adaedl.stopping.lengths import EMA, GammaTune
from adaedl.stopping.profile import Profile
from adaedl.stopping.gate import Gate
from adaedl.stopping.throughput import Throughput
from adaedl.stopping.oracle import Oracle

# isort: on

for _module in iter_modules(__path__):
    if _module.name != "__main__":
        import_module(f"{__name__}.{_module.name}")

__all__ = [
    "DEEPEST_DEFAULT",
    "DEFAULT_MAX_DRAFT",
    "EMA",
    "LIVE_STOPPERS",
    "MAX_DRAFT_LIMIT",
    "STOPPERS",
    "SVIP",
    "AdaEDL",
    "AdaptiveStopper",
    "Autoregressive",
    "Bandit",
    "Confidence",
    "DistributionStopper",
    "DraftStep",
    "Fixed",
    "GammaTune",
    "Gate",
    "Heuristic",
    "Margin",
    "MaxConfidence",
    "Oracle",
    "Profile",
    "ScoreStopper",
    "Setting",
    "Stopper",
    "StopperFault",
    "Survival",
    "Throughput",
    "acceptance_lower_bound",
    "check_live",
    "checked",
    "construct",
    "describe_stoppers",
    "draft_length",
    "format_spec",
    "limit_draft",
    "longest_draft",
    "make_stopper",
    "number",
    "register_stopper",
    "settings_of",
    "split_specs",
    "switch",
    "unregister_stopper",
    "whole",
]
