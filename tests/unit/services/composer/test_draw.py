"""Pipelines drawn as text and as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from inferloom.services.composer.draw import draw
from inferloom.services.composer.draw_svg import draw_svg
from tests.support.graphs import graph

DIGITS = """
description: Reads a digit.
timeout: 2s
inputs: {png: "BYTES [1]", scale: {datatype: FP64, shape: [1], default: 2}}
outputs: {label: answer.label, share: answer.share}
nodes:
  decode: {function: "app:decode", inputs: {png: input.png, scale: input.scale}}
  cheap: {ensemble: {combine: vote, quorum: 1, wait: 50ms, members: {
    svm: {model: svm, inputs: {pixels: decode}, timeout: 20ms, on_error: skip},
    mlp: {model: mlp, version: "2", inputs: {pixels: decode}, on_error: {value: {label: 0}}}}}}
  sure: {function: "app:sure", inputs: {share: cheap.share}}
  dear: {ensemble: {combine: weighted_vote, members: {
    forest: {model: forest, inputs: {pixels: decode}, weight: 2},
    svm: {model: svm, inputs: {pixels: decode}, weight: 1, on_error: {model: mlp}}}}}
  answer: {route: {output: sure, arms: {"true": {pass: {"": cheap}}, "false": {pass: {"": dear}}}}}
"""

SPLIT = """
outputs: {label: answer.label}
nodes:
  answer: {route: {split: {unit: user}, arms: {
    a: {model: svm, inputs: {pixels: input.x}, share: 9},
    b: {model: mlp, inputs: {pixels: input.x}, share: 1},
    c: {model: forest, inputs: {pixels: input.x}, share: 0.5, mirror: true}}}}
"""

RULES = """
outputs: {label: answer.label}
nodes:
  answer: {route: {rules: {inputs: {n: input.x}}, default: small, arms: {
    big: {model: mlp, inputs: {pixels: input.x}, when: "metadata['tier'] == 'gold' && n < 3"},
    small: {pass: true, constants: {label: 0}}}}}
"""


def test_a_pipeline_is_drawn_in_the_order_it_runs() -> None:
    assert (
        draw(graph(DIGITS, "digits"))
        == """\
digits: Reads a digit. (timeout 2s)

  input   png BYTES [1]
  │       scale FP64 [1] = 2
  │
  decode  step app:decode
  │       png ← input.png
  │       scale ← input.scale
  │
  cheap   ensemble: vote of 2, quorum 1, wait 50ms
  │       ├ svm  model svm (pixels ← decode), timeout 20ms, skipped on error
  │       └ mlp  model mlp version 2 (pixels ← decode), else label=0
  │
  dear    ensemble: weighted vote of 2 (only for answer, arm false)
  │       ├ forest  weight 2, model forest (pixels ← decode)
  │       └ svm     weight 1, model svm (pixels ← decode), else mlp
  │
  sure    step app:sure
  │       share ← cheap.share
  │
  answer  route by sure
  │       ├ true   pass (← cheap)
  │       └ false  pass (← dear)
  ▼
  output  label ← answer.label
          share ← answer.share"""
    )


def test_shares_and_mirrors_are_drawn_with_their_parts() -> None:
    text = draw(graph(SPLIT))
    assert "answer  route by shares, sticky by user" in text
    assert "├ a  90 %, model svm (pixels ← input.x)" in text
    assert "├ b  10 %, model mlp (pixels ← input.x)" in text
    assert "└ c  mirror of 0.5 of the requests, model forest (pixels ← input.x)" in text


def test_rules_are_drawn_with_their_conditions() -> None:
    text = draw(graph(RULES))
    assert "├ big    when metadata['tier'] == 'gold' && n < 3, model mlp (pixels ← input.x)" in text
    assert "└ small  default, pass (label = 0)" in text


def test_a_graph_with_a_circle_can_be_drawn() -> None:
    text = draw(graph("{nodes: {a: {model: m, inputs: {x: b}}, b: {model: m, inputs: {x: a}}}}"))
    assert "x ← b" in text
    assert "x ← a" in text


def test_the_svg_is_xml_with_every_node_and_nothing_from_elsewhere() -> None:
    text = draw_svg(graph(RULES, "<rules> & more"))
    root = ElementTree.fromstring(text)
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"input", "answer", "output"} <= set(texts)
    assert "• big: when metadata['tier'] == 'gold' && n < 3, model mlp" in texts
    assert root[0].text == "pipeline <rules> & more"
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<use|href|@import|url\(", text)


def test_boxes_of_the_svg_lie_inside_and_do_not_overlap() -> None:
    root = ElementTree.fromstring(draw_svg(graph(DIGITS)))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    rects = [element.attrib for element in root.iter("{http://www.w3.org/2000/svg}rect")][1:]  # the first is the ground
    boxes = [tuple(float(rect[name]) for name in ("x", "y", "width", "height")) for rect in rects]
    assert len(boxes) == 7
    for x, y, w, h in boxes:
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    for place, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[place + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_what_only_runs_for_an_arm_is_dashed() -> None:
    text = draw_svg(graph(DIGITS))
    assert text.count("stroke-dasharray") == 2  # cheap and dear to the route; what decides is not
