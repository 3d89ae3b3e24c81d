"""A pipeline as SVG: layers from top to bottom, with nothing from elsewhere in it: no fonts, styles or scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from inferloom.services.composer.draw import arms_of, first_needs_of, heading, in_order, needs_of, options_of, runs
from inferloom.services.composer.references import INPUT
from inferloom.v1 import graph_pb2

__all__ = ["draw_svg"]

_CHARACTER, _LINE, _PAD = 7.3, 17, 10  # of 12 px monospace
_GAP_X, _GAP_Y, _MARGIN = 28, 44, 20
_FILLS = {"input": "#eef2f7", "output": "#eef2f7", "step": "#ffffff", "ensemble": "#eaf6ec", "route": "#fdf3e3"}


@dataclass
class _Box:
    name: str
    kind: str
    lines: list[str]
    depth: int = 0
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        return max(len(text) for text in (self.name, *self.lines)) * _CHARACTER + 2 * _PAD

    @property
    def height(self) -> float:
        return (1 + len(self.lines)) * _LINE + _PAD


def draw_svg(graph: graph_pb2.Graph) -> str:
    """A whole document, as text. Dashed lines are needed only where an arm is taken."""
    boxes, edges = _boxes(graph)
    width, height = _laid_out(boxes)
    title = f"pipeline {graph.name}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="monospace" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [_edge(boxes[source], boxes[target], lazy) for source, target, lazy in edges]
    parts += [_drawn(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>"])


def _boxes(graph: graph_pb2.Graph) -> tuple[dict[str, _Box], list[tuple[str, str, bool]]]:
    """Boxes by key (nodes by name; " in" and " out", which no node is called), and edges: from, to, lazy."""
    tensors = [f"{tensor.name} {tensor.datatype} {[*tensor.shape]}" for tensor in graph.inputs]
    boxes, edges = {" in": _Box(INPUT, "input", tensors)}, []
    for node in in_order(graph):
        box = boxes[node.name] = _Box(node.name, node.WhichOneof("kind") or "step", _lines(node))
        first = first_needs_of(node)
        for need in sorted(needs_of(node)):
            source = " in" if need == INPUT else need
            if source in boxes and source != node.name:
                edges.append((source, node.name, need not in first))
                box.depth = max(box.depth, boxes[source].depth + 1)
        box.depth = max(box.depth, 1)
    out = boxes[" out"] = _Box("output", "output", [output.name or "*" for output in graph.outputs])
    out.depth = max(box.depth for box in boxes.values()) + 1
    for need in dict.fromkeys(output.source.partition(".")[0] for output in graph.outputs):
        source = " in" if need == INPUT else need
        if source in boxes:
            edges.append((source, " out", False))
    return boxes, edges


def _lines(node: graph_pb2.Node) -> list[str]:
    if node.HasField("step"):
        return [heading(node), *options_of(node.step)]
    return [
        heading(node),
        *(
            f"• {name}: {', '.join(filter(None, (said, runs(step), *options_of(step))))}"
            for name, said, step in arms_of(node)
        ),
    ]


def _laid_out(boxes: Mapping[str, _Box]) -> tuple[float, float]:
    """Sets the places; the size of the whole."""
    layers: dict[int, list[_Box]] = {}
    for box in boxes.values():
        layers.setdefault(box.depth, []).append(box)
    spans = {depth: sum(box.width for box in layer) + _GAP_X * (len(layer) - 1) for depth, layer in layers.items()}
    width, y = max(spans.values()), float(_MARGIN)
    for depth in sorted(layers):
        x = _MARGIN + (width - spans[depth]) / 2
        for box in layers[depth]:
            box.x, box.y = x, y
            x += box.width + _GAP_X
        y += max(box.height for box in layers[depth]) + _GAP_Y
    return width + 2 * _MARGIN, y - _GAP_Y + _MARGIN


def _edge(source: _Box, target: _Box, lazy: bool) -> str:
    x1, y1 = source.x + source.width / 2, source.y + source.height
    x2, y2 = target.x + target.width / 2, target.y
    bend = (y2 - y1) / 2
    dash = ' stroke-dasharray="4 3"' if lazy else ""
    curve = f"M{x1:.1f} {y1:.1f} C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2 - 5:.1f}"
    arrow = f"M{x2 - 4:.1f} {y2 - 7:.1f} L{x2:.1f} {y2:.1f} L{x2 + 4:.1f} {y2 - 7:.1f} Z"
    return f'<path d="{curve}" fill="none" stroke="#56606b"{dash}/><path d="{arrow}" fill="#56606b"/>'


def _drawn(box: _Box) -> str:
    parts = [
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5" '
        f'fill="{_FILLS[box.kind]}" stroke="#56606b"/>'
    ]
    for place, text in enumerate((box.name, *box.lines)):
        bold = ' font-weight="bold"' if place == 0 else ""
        y = box.y + _LINE * (place + 1)
        parts.append(f'<text x="{box.x + _PAD:.1f}" y="{y:.1f}" fill="#1d232a"{bold}>{escape(text)}</text>')
    return "\n".join(parts)
