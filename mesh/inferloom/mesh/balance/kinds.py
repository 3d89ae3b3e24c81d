"""The picker of each kind of balancing. None of them keeps anything per model, so all models share them."""

from __future__ import annotations

import random
from collections.abc import Mapping

from inferloom.mesh.balance.least_request import LeastRequest
from inferloom.mesh.balance.p2c import PowerOfTwoChoices
from inferloom.mesh.balance.picker import Picker
from inferloom.mesh.balance.round_robin import RoundRobin
from inferloom.mesh.balance.uniform import Uniform
from inferloom.mesh.policy_fields import Balancing

__all__ = ["Pickers", "pickers"]

Pickers = Mapping[Balancing, Picker]


def pickers(rng: random.Random) -> Pickers:
    return {
        Balancing.AUTO: PowerOfTwoChoices(rng),
        Balancing.LEAST_REQUEST: LeastRequest(rng),
        Balancing.ROUND_ROBIN: RoundRobin(),
        Balancing.RANDOM: Uniform(rng),
    }
