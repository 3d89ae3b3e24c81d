"""What may be batched: row-wise, stateless, answered once, and free of effects."""

from __future__ import annotations

from inferloom.mesh.catalog import Repeat
from inferloom.services.composer.checked import Checked, Use
from inferloom.services.composer.runtime import Runtime

__all__ = ["RowWise"]


class RowWise:
    """Judges the nodes of a graph: models that batch, steps with `rows=True`, and ensembles of these; never a Route."""

    def __init__(self, checked: Checked, runtime: Runtime) -> None:
        self.checked = checked
        self.runtime = runtime

    def node(self, name: str) -> bool:
        node = self.checked.nodes[name]
        if not self.runtime.batching or node.arms or node.streams:
            return False
        if node.step is not None:
            return node.rows and self.use(node.step)
        ensemble = node.node.ensemble
        if ensemble.combine == "function" and not self.runtime.steps[ensemble.function].rows:
            return False
        if ensemble.combine == "stack" and not self._model(ensemble.model):
            return False
        return node.rows and all(self.use(use) for use in node.members.values())

    def use(self, use: Use) -> bool:
        """A step of its own, a member or an arm."""
        kind, step = use.step.WhichOneof("runs"), use.step
        if kind == "pass":
            return True
        if step.on_error.model and not self._model(step.on_error.model):
            return False
        if kind == "function":
            return self.runtime.steps[step.function].rows
        return use.callee.rows and self._model(step.model)

    def _model(self, name: str) -> bool:
        facts, model = self.runtime.facts(name), self.runtime.models.model(name)
        return facts.most > 0 and not facts.stateful and model is not None and model.repeat is Repeat.ANY
