"""What the two data planes make of a policy: the Python router executes all of it, Envoy what its settings can say.

python -m inferloom.mesh.planes > docs/data-planes.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from inferloom.mesh.catalog import Model
from inferloom.mesh.planes_page import page
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.policy_fields import Balancing, read_fields
from inferloom.mesh.split import Split

__all__ = ["TABLE", "Honoured", "Plane", "needs_python", "warnings"]


class Honoured(StrEnum):
    """How Envoy keeps to what a document says."""

    YES = "yes"
    NEARLY = "approximately"
    NO = "no"


class Plane(NamedTuple):
    """A line of the table."""

    router: str
    envoy: str
    honoured: Honoured
    warning: str = ""  # what is said where a document sets the field, after its path


YES, NEARLY, NO = Honoured.YES, Honoured.NEARLY, Honoured.NO

TABLE: Mapping[str, Plane] = {
    "timeout": Plane("the deadline where the caller sets none", "the same", YES),
    "longest": Plane("cap on the caller's deadline", "the same", YES),
    "attempt_timeout": Plane(
        "a try is given up after it, and counts as a failure of the replica", "time-out per try, which counts too", YES
    ),
    "stream_idle": Plane("a stream silent for so long is ended", "the same", YES),
    "idempotent": Plane(
        "true: a try that broke may be repeated; false: only one that no replica saw",
        "the same, by the conditions it retries on",
        YES,
    ),
    "retry.attempts": Plane("tries in all, each at another replica where there is one", "the same", YES),
    "retry.budget.ratio": Plane(
        "each call earns so much of a retry",
        "bounds retries at the same time, as a share of the requests in flight",
        NEARLY,
        "bounds how many retries run at once, as a share of the requests in flight",
    ),
    "retry.budget.floor": Plane(
        "retries earned per second",
        "floor times window: so many retries may run at once, however few requests do",
        NEARLY,
        "times retry.budget.window is how many retries may run at once, not a rate",
    ),
    "retry.budget.window": Plane(
        "seconds of floor that the bucket holds",
        "floor times window: so many retries may run at once, however few requests do",
        NEARLY,
        "times retry.budget.floor is how many retries may run at once, not a rate",
    ),
    "retry.backoff": Plane(
        "wait before the second retry, doubled each time; the first goes at once",
        "upper bound of a random wait, before the first retry too",
        NEARLY,
        "is the upper bound of a random wait, before the first retry too",
    ),
    "retry.jitter": Plane(
        "± share of the wait", "waits are random from nothing to the whole", NO, "has no effect: waits are all random"
    ),
    "health.consecutive": Plane("failures in a row that take a replica out", "the same", YES),
    "health.rate": Plane(
        "share of failures within a sliding window that takes it out",
        "the same in whole percent, judged once per interval and with two replicas or more",
        NEARLY,
        "is rounded to whole percent and judged once per interval, with two replicas or more",
    ),
    "health.rate_requests": Plane(
        "so many requests must be in the window", "... in an interval", NEARLY, "is counted in each interval anew"
    ),
    "health.window": Plane(
        "length of the sliding window",
        "length of the interval, or health.base where that is shorter",
        NEARLY,
        "is an interval that begins anew, no sliding window, and at most health.base long",
    ),
    "health.base": Plane(
        "out for so long, longer each time; then one request decides",
        "out for so long, longer each time; then it has its traffic back at once",
        NEARLY,
        "ends with all of a replica's traffic, where the router lets one request decide",
    ),
    "health.longest": Plane("out at most", "the same, jitter aside", YES),
    "health.jitter": Plane(
        "± share of the time out",
        "up to so much of health.base is added",
        NEARLY,
        "only adds to the time out, and as a share of health.base",
    ),
    "health.forget": Plane(
        "so much health, and earlier ejections are forgotten",
        "with each healthy interval one is forgotten",
        NO,
        "has no effect: with each healthy interval one ejection is forgotten",
    ),
    "balancing": Plane(
        "auto: power of two choices over latency (peak EWMA) times requests in flight; least_request: over requests in "
        "flight; round_robin: by weight; random: each as likely",
        "auto and least_request: power of two choices over requests in flight; round_robin and random: the same",
        YES,
    ),
    "affinity": Plane(
        "highest random weight (rendezvous) of the metadata's value; the next one where that replica may not be used; "
        "requests without it are balanced",
        "ring hash of the header; requests without it go to any replica",
        NEARLY,
        "keeps each value at one replica, but at another one than the router does, which answers what Envoy does not route",
    ),
    "locality": Plane(
        "prefer: replicas of its own zone ($INFERLOOM_ZONE) while one of them may be used",
        "the same, for the zone of `inferloom edge --zone`",
        YES,
    ),
    "concurrency": Plane(
        "requests, and streams as one each, in flight in the process; one more gets RESOURCE_EXHAUSTED, "
        "`x-inferloom-reason: shed`",
        "the same bound for each Envoy, gRPC and REST counted apart, and so is a version with replicas of its own",
        NEARLY,
        "holds for each Envoy process, for gRPC and REST apart, and for a version with replicas of its own",
    ),
    "slow_start": Plane(
        "a new replica, or one whose breaker has closed, has a tenth of its share at first and all of it then; random and "
        "affinity do not look at it",
        "the same for a new replica; one that was ejected is back at once",
        YES,
    ),
    "objective.availability": Plane(
        "its metrics say how much of the error budget is spent", "the same, in the metrics of its control plane", YES
    ),
    "objective.latency": Plane(
        "counts the answers that come later",
        "the same, in the metrics of its control plane, which knows times by two digits: 105 ms is judged as 110 ms",
        YES,
    ),
    "objective.within": Plane("percentage of the answers that may not be later", "the same", YES),
}


def needs_python(policy: TrafficPolicy, model: Model, split: Split | None) -> str:
    """Why the gateway sends all of a model's requests to the Python router; "" where Envoy does what they need.

    Every field of a policy has an answer of Envoy's, if sometimes a near one (TABLE); a mirror has none.
    """
    if split is not None and split.mirrors:
        names = ", ".join(arm.name for arm in split.mirrors)
        return f"the split of '{model.name}' has mirrors ({names}), whose answers are compared"
    return ""


def warnings(spec: Mapping[str, Any]) -> list[str]:
    """A line for each field that a document sets and the gateway does not keep to exactly.

    Raises:
        InvalidInput: the spec is no policy.
    """
    values = read_fields(spec, "policy")
    found = [f"{path} {TABLE[path].warning}" for path in values if TABLE[path].warning]
    balancing = values.get("balancing", Balancing.AUTO)
    if values.get("affinity") and balancing not in (Balancing.AUTO, Balancing.RANDOM):
        found.append(f"balancing {balancing} has no effect beside affinity: requests without its key go to any replica")
    return [f"with gateway: envoy, {line}" for line in found]


if __name__ == "__main__":
    sys.stdout.write(page([(path, *plane[:2], str(plane.honoured)) for path, plane in TABLE.items()]))
