"""python -m monitoring.replay: the alerts against the recorded incidents, and against series that are made up, by promtool.

Each incident must have told what is in EXPECTED two minutes after its cause, and nothing before it; the quiet day nothing at
all. What fires is compared as a whole: an alert too many is a failure too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from monitoring.made_up import CASES, HOURS, Case
from monitoring.promtool import obtain_promtool
from monitoring.series import Recording, read

__all__ = ["EXPECTED", "replay", "replay_made_up", "tests"]

HERE = Path(__file__).resolve().parent
RULES = sorted(path.name for path in (HERE / "rules").glob("*.yaml"))
WITHIN = 120  # seconds from the cause
FIRING = 'group by (alertname, model, replica, split, arm) (ALERTS{alertstate="firing"})'
EVER = 'count(count_over_time(ALERTS{alertstate="firing"}[1h]))'

EXPECTED: dict[str, list[dict[str, str]]] = {
    "quiet_day": [],
    "killed_replica": [
        {"alertname": "InferloomReplicaDown", "model": "slow", "replica": "t1"},
        {"alertname": "InferloomRoleDown"},
    ],
    "slow_model": [{"alertname": "InferloomLatencyBudgetBurns", "model": "slow"}],
    "consul_gone": [{"alertname": "InferloomRegistryGone"}],
    "split_gone_bad": [
        {"alertname": "InferloomErrorBudgetBurns", "model": "Price"},
        {"alertname": "InferloomSplitArmFails", "split": "Price", "arm": "new"},
        {"alertname": "InferloomMirrorDiffers", "split": "Price", "arm": "shadow"},
    ],
    "gateway_quiet_day": [],
    "gateway_last_replica": [
        {"alertname": "InferloomErrorBudgetBurns", "model": "slow"},
        {"alertname": "InferloomModelGone", "model": "slow"},
        {"alertname": "InferloomReplicaDown", "model": "slow", "replica": "t0"},
        {"alertname": "InferloomRoleDown"},
    ],
    "gateway_slow_model": [{"alertname": "InferloomLatencyBudgetBurns", "model": "slow"}],
    "gateway_split_gone_bad": [
        {"alertname": "InferloomErrorBudgetBurns", "model": "Price"},
        {"alertname": "InferloomSplitArmFails", "split": "Price", "arm": "new"},
    ],
}


def tests(name: str, recording: Recording) -> dict[str, Any]:
    """One recording as a test of promtool's."""
    last = next(iter(recording.series.values()))
    length = recording.every * (_count(last) - 1)
    checks: list[dict[str, Any]] = [{"expr": EVER, "eval_time": f"{recording.cause or length}s", "exp_samples": []}]
    if recording.cause:
        expected = [{"labels": _labels(alert), "value": 1} for alert in EXPECTED[name]]
        checks.append({"expr": FIRING, "eval_time": f"{recording.cause + WITHIN}s", "exp_samples": expected})
    series = [{"series": key, "values": values} for key, values in recording.series.items()]
    return {"name": name, "interval": f"{recording.every}s", "input_series": series, "promql_expr_test": checks}


def _order() -> list[str]:
    """Groups of rules, those of alerts first: what they read is then a round old, which is the worst that can be."""
    files = [yaml.safe_load((HERE / "rules" / name).read_text()) for name in ("alerts.yaml", "recording.yaml")]
    return [group["name"] for file in files for group in file["groups"]]


def _labels(alert: dict[str, str]) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in alert.items()) + "}"


def _count(values: str) -> int:
    """Of samples, those left out among them."""
    total = 0
    for part in values.split():
        if part.startswith("_"):
            total += int(part[2:] or 1) if "x" in part else 1
        else:
            total += int(part.rpartition("x")[2]) + 1 if "x" in part else 1
    return total


def replay(names: list[str]) -> str:
    """What promtool says; "" where all is as expected."""
    return _test([tests(name, read(HERE / "recordings" / f"{name}.txt")) for name in names], every=15)


def replay_made_up() -> str:
    """The same of all cases."""
    said = ""
    for hours in (False, True):  # rules are worked out every minute, and every five where a case lasts hours
        groups = [_made_up(name, case) for name, case in CASES.items() if (case.every == HOURS) is hours]
        said += _test(groups, every=HOURS if hours else 60)
    return said


def _made_up(name: str, case: Case) -> dict[str, Any]:
    expected = [{"labels": _labels(alert), "value": 1} for alert in case.expected]
    checks = [{"expr": FIRING, "eval_time": f"{case.at}m", "exp_samples": expected}]
    if case.silent:
        checks.append({"expr": EVER, "eval_time": f"{case.silent}m", "exp_samples": []})
    series = [{"series": key, "values": values} for key, values in case.series.items()]
    return {"name": name, "interval": f"{case.every}s", "input_series": series, "promql_expr_test": checks}


def _test(groups: list[dict[str, Any]], every: int) -> str:
    promtool = obtain_promtool()
    rules = [str(HERE / "rules" / name) for name in RULES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replay.yaml"
        given = {"rule_files": rules, "evaluation_interval": f"{every}s", "group_eval_order": _order(), "tests": groups}
        path.write_text(yaml.safe_dump(given))
        done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main() -> int:
    said = replay(list(EXPECTED)) + replay_made_up()
    print(said or f"{len(EXPECTED)} recordings, {len(CASES)} cases: every alert as expected")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
