"""At least one broken pipeline for every rule of the check, with the message it gives."""

from __future__ import annotations

import pytest

from tests.support.graphs import findings

SVM = "svm: {model: digits-svm, inputs: {pixels: input.x}}"
MLP = "mlp: {model: digits-mlp, inputs: {pixels: input.x}}"
KIND = 'kind: {function: "app:kind", inputs: {png: input.png}}'


def one(step: str, output: str = "a.label", more: str = "") -> str:
    """A pipeline of the node `a` alone."""
    return f"{{outputs: {{o: {output}}}, nodes: {{a: {step}}}{more}}}"


def ensemble(fields: str, members: str = f"{SVM}, {MLP}", output: str = "a.label", more: str = "") -> str:
    return one(f"{{ensemble: {{{fields}, members: {{{members}}}}}}}", output, more)


def route(fields: str, arms: str, more: str = "") -> str:
    """One by shares or rules, or with `output: kind` by the step `kind`."""
    nodes = f"{KIND}, " if "output: kind" in fields else ""
    return f"{{outputs: {{o: a.label}}, nodes: {{{nodes}a: {{route: {{{fields}, arms: {{{arms}}}}}}}{more}}}}}"


A = "a: {model: digits-svm, inputs: {pixels: input.x}"
B = "b: {model: digits-mlp, inputs: {pixels: input.x}"

RULES: dict[str, tuple[str, str]] = {
    # names
    "unknown node": (
        one("{model: digits-svm, inputs: {pixels: inptu.x}}"),
        "node a, inputs.pixels: 'inptu' is no node; did you mean 'input'?",
    ),
    "an unknown node that resembles none": (
        "{outputs: {o: chosen.label}, nodes: {chosen: {model: digits-svm, inputs: {pixels: decode.x}}}}",
        "node chosen, inputs.pixels: 'decode' is no node; there is chosen, input",
    ),
    "unknown output": (
        one("{model: digits-svm, inputs: {pixels: input.x}}", "a.lable"),
        "outputs.o: a has no output 'lable'; did you mean 'label'?",
    ),
    "unknown input of the pipeline": (
        one("{model: digits-svm, inputs: {pixels: input.pgn}}"),
        "node a, inputs.pixels: the pipeline has no input 'pgn'; did you mean 'png'?",
    ),
    "no reference": (
        one("{model: digits-svm, inputs: {pixels: 'the pixels'}}"),
        "node a, inputs.pixels: 'the pixels' is no reference; one is input.NAME, NODE.OUTPUT or NODE (its only output)",
    ),
    "unknown model": (
        one("{model: digits-smv, inputs: {pixels: input.x}}"),
        "node a, model: no model 'digits-smv' in the catalog; did you mean 'digits-svm'?",
    ),
    "unknown version": (
        one("{model: digits-svm, version: '7', inputs: {pixels: input.x}}"),
        "node a, model: 'digits-svm' has no version 7; leave the version out, or deploy it",
    ),
    "unknown step": (
        one('{function: "app:decod", inputs: {png: input.png}}', "a.result"),
        "node a, function: no step 'app:decod' in the packages that the composer was started with; "
        "did you mean 'app:decode'?",
    ),
    "a step of a file that the composer does not run": (
        one('{function: "routes:decode", inputs: {png: input.png}}', "a.result"),
        "node a, function: no step 'routes:decode' in the packages that the composer was started with; it has those of "
        "app: write `import routes` in the file that it runs, and start it again",
    ),
    "a version of a function": (
        one('{function: "app:decode", version: "2", inputs: {png: input.png}}', "a.result"),
        "node a, version: a function has no version; leave it out",
    ),
    "two nodes of one name": (
        "{outputs: {o: a.label}, nodes: [{name: a, model: digits-svm, inputs: {pixels: input.x}}, "
        "{name: a, model: digits-svm, inputs: {pixels: input.x}}]}",
        "node a: 2 nodes have this name; each has a name of its own",
    ),
    "a node without anything": (
        one("{}"),
        "node a: nothing to do; give step, ensemble or route",
    ),
    "a step without anything": (
        one("{step: {inputs: {pixels: input.x}}}"),
        "node a: a step says what it runs: model, function or pass",
    ),
    "no outputs": (
        "{nodes: {}}",
        "outputs: none; a pipeline names what it answers with",
    ),
    "two outputs of one name": (
        f"{{outputs: [{{name: o, source: svm.label}}, {{name: o, source: svm.label}}], nodes: {{{SVM}}}}}",
        "outputs.o: two outputs have this name; each has one of its own",
    ),
    "a datatype that there is not": (
        one("{model: digits-svm, inputs: {pixels: input.x}}", more=", inputs: {x: 'FLOAT32 [-1,64]'}"),
        "inputs.x: 'FLOAT32' is no datatype; did you mean 'FP32'?",
    ),
    "a default that does not fit": (
        one(
            "{model: digits-svm, inputs: {pixels: input.x}}",
            more=", inputs: {x: 'FP32 [-1,64]', k: {datatype: INT64, shape: [1], default: a}}",
        ),
        "inputs.k.default: 'a' is no INT64",
    ),
    # inputs
    "an input that is missing": (
        one("{model: two, inputs: {pixels: input.x}}"),
        "node a, inputs: two needs mask BOOL [-1,64]; say where it comes from",
    ),
    "an input too many": (
        one("{model: digits-svm, inputs: {pixels: input.x, pixel: input.x}}"),
        "node a, inputs.pixel: digits-svm has no input 'pixel'; did you mean 'pixels'?",
    ),
    "an input without a name where there are several": (
        one("{model: two, inputs: {'': input.x}}"),
        "node a, inputs: two has 2 inputs; name it: two takes pixels FP32 [-1,64], mask BOOL [-1,64]",
    ),
    "an input given twice": (
        one("{model: digits-svm, inputs: {pixels: input.x}, constants: {pixels: [1]}}"),
        "node a, inputs.pixels: 'pixels' is given as a constant as well; give one of them",
    ),
    "a constant that does not fit": (
        one("{model: threshold, inputs: {pixels: input.x}, constants: {at: high}}"),
        "node a, constants.at: 'high' is no FP32",
    ),
    "an optional input where one is needed": (
        one(
            "{model: digits-svm, inputs: {pixels: input.x}}",
            more=", inputs: {x: {datatype: FP32, shape: [-1, 64], optional: true}}",
        ),
        "node a, inputs.pixels: input.x may be left out, but digits-svm needs pixels FP32 [-1,64]; give it a default",
    ),
    "a pass without anything": (
        one("{pass: true}"),
        "node a, inputs: a pass with nothing to pass on; name what its outputs are",
    ),
    # dtypes, shapes, batch
    "another dtype": (
        "{outputs: {o: svm.label}, nodes: {d: {function: 'app:double', inputs: {png: input.png}}, "
        "svm: {model: digits-svm, inputs: {pixels: d}}}}",
        "node svm, inputs.pixels: d.result is FP64 [1,64]; digits-svm takes pixels FP32 [-1,64]: "
        "make it FP32 in a step between",
    ),
    "another shape": (
        one("{model: over, inputs: {x: input.x}}"),
        "node a, inputs.x: input.x is FP32 [-1,64]; over takes x FP32 [-1,20]: give it that shape in a step between",
    ),
    "no batch dimension": (
        "{outputs: {o: svm.label}, nodes: {decode: {function: 'app:flat', inputs: {png: input.png}}, "
        "svm: {model: digits-svm, inputs: {pixels: decode}}}}",
        "node svm, inputs.pixels: decode.result is FP32 [64]; digits-svm takes pixels FP32 [-1,64]: "
        "the first size is the batch, so give it as [1,64]",
    ),
    "a batch dimension too many": (
        one("{model: speak, inputs: {text: input.t}}", "a.sound", ", inputs: {t: 'BYTES [-1,2,1]'}"),
        "node a, inputs.text: input.t is BYTES [-1,2,1]; speak takes text BYTES [1]: give it that shape in a step between",
    ),
    "an annotation that does not fit": (
        one(
            "{model: digits-svm, inputs: {pixels: input.x}}",
            "{source: a.probabilities, datatype: FP64, shape: [1]}",
        ),
        "outputs.o: it is annotated FP64 [1], but a.probabilities is FP32 [-1,10]; annotate that, or convert it in a step",
    ),
    # the graph
    "a circle": (
        "{outputs: {o: a.label}, nodes: {a: {model: digits-svm, inputs: {pixels: b.result}}, "
        "b: {function: 'app:scaled', inputs: {x: a.probabilities}}}}",
        "node a: it needs itself: a -> b -> a; take one of these references out",
    ),
    "a node that nobody needs": (
        f"{{outputs: {{o: svm.label}}, nodes: {{{SVM}, {MLP}}}}}",
        "node mlp: no output needs it; use its outputs, or take it out",
    ),
    # errors and time
    "a fallback value that does not fit": (
        one("{model: regress, inputs: {pixels: input.x}, on_error: {value: {y: none}}}", "a.y"),
        "node a, on_error.value.y: 'none' is no FP32",
    ),
    "a fallback value that is incomplete": (
        one("{model: digits-svm, inputs: {pixels: input.x}, on_error: {value: {label: 0}}}"),
        "node a, on_error.value: it must give all outputs: probabilities FP32 [-1,10] is missing",
    ),
    "a fallback value for nothing": (
        one("{model: regress, inputs: {pixels: input.x}, on_error: {value: {y: 0, z: 0}}}", "a.y"),
        "node a, on_error.value.z: no output 'z'; there is y",
    ),
    "a fallback model that gives something else": (
        one("{model: regress, inputs: {pixels: input.x}, on_error: {model: words}}", "a.y"),
        "node a, on_error.model: 'words' does not give y FP32 [-1], as 'regress' does",
    ),
    "a fallback model that takes something else": (
        one("{model: over, inputs: {x: input.x}, on_error: {model: threshold}}", more=", inputs: {x: 'FP32 [-1,20]'}"),
        "node a, on_error.model: 'threshold' does not take x FP32 [-1,20], as 'over' does",
    ),
    "a fallback model that there is not": (
        one("{model: digits-svm, inputs: {pixels: input.x}, on_error: {model: digits-mpl}}"),
        "node a, on_error.model: no model 'digits-mpl' in the catalog; did you mean 'digits-mlp'?",
    ),
    "no duration": (
        one("{model: digits-svm, inputs: {pixels: input.x}, timeout: 50}".replace("50}", "'50'}")),
        "node a, timeout: '50' is no duration; write a number and ms, s, m or h: 50ms, 2s, 1m",
    ),
    "a time-out longer than the pipeline's": (
        one("{model: digits-svm, inputs: {pixels: input.x}, timeout: 3s}", more=", timeout: 2s"),
        "node a, timeout: 3s is longer than the pipeline's 2s; make it shorter",
    ),
    "time-outs that add up to more than the pipeline's": (
        "{timeout: 2s, outputs: {o: svm.label}, nodes: {"
        "d: {function: 'app:decode', inputs: {png: input.png}, timeout: 1500ms}, "
        "svm: {model: digits-svm, inputs: {pixels: d}, timeout: 1s}}}",
        "node svm, timeout: the time-outs up to here are d 1.5s + svm 1s = 2.5s, more than the pipeline's 2s; "
        "make them shorter, or that longer",
    ),
    # streams
    "a model that streams before the end": (
        "{outputs: {o: kind.result}, nodes: {s: {model: speak, inputs: {text: input.png}}, "
        "kind: {function: 'app:kind', inputs: {png: s}}}}",
        "node s: speak streams, but kind takes its outputs; only the last step may stream",
    ),
    "a model that streams beside another output": (
        f"{{outputs: {{o: s.sound, p: svm.label}}, nodes: {{s: {{model: speak, inputs: {{text: input.png}}}}, {SVM}}}}}",
        "node s: speak streams, but output 'p' is not its; with a last step that streams all outputs are its",
    ),
    "a member that streams": (
        ensemble("combine: vote", "s: {model: speak, inputs: {text: input.png}}"),
        "node a, members.s: speak streams; a member answers once",
    ),
    "an arm that streams": (
        route("split: {}", "s: {model: speak, inputs: {text: input.png}, share: 1}").replace("a.label", "a.sound"),
        "node a, arms.s: speak streams; an arm answers once",
    ),
    # ensembles
    "no members": (
        one("{ensemble: {combine: vote}}"),
        "node a, members: none; an ensemble has at least one",
    ),
    "two members of one name": (
        one(
            "{ensemble: {combine: vote, members: [{name: m, model: digits-svm, inputs: {pixels: input.x}}, "
            "{name: m, model: digits-mlp, inputs: {pixels: input.x}}]}}"
        ),
        "node a, members: two members are called 'm'; each has a name of its own",
    ),
    "an unknown way to combine": (
        ensemble("combine: wieghted_mean"),
        "node a, combine: 'wieghted_mean' is none; did you mean 'weighted_mean'?",
    ),
    "no way to combine": (
        one(f"{{ensemble: {{members: {{{SVM}}}}}}}"),
        "node a, combine: not said; write one of mean, weighted_mean, median, max, vote, weighted_vote, "
        "concat, stack, function",
    ),
    "a quorum above the number of members": (
        ensemble("combine: vote, quorum: 3"),
        "node a, quorum: 3 of 2 members; it is at most 2",
    ),
    "a quorum of a stack": (
        ensemble("combine: stack, output: probabilities, model: over, quorum: 1"),
        "node a, quorum: 1 of 2 members; the model of a stack needs all of them: leave it out",
    ),
    "a negative weight": (
        ensemble("combine: weighted_vote", f"{SVM[:-1]}, weight: -1}}, {MLP[:-1]}, weight: 2}}"),
        "node a, members.svm.weight: -1; it is a number above 0",
    ),
    "fewer weights than members": (
        ensemble("combine: weighted_vote", f"{SVM}, {MLP[:-1]}, weight: 2}}"),
        "node a, members: 1 of 2 members have a weight; give each one above 0",
    ),
    "weights that are not used": (
        ensemble("combine: vote", f"{SVM[:-1]}, weight: 1}}, {MLP[:-1]}, weight: 2}}"),
        "node a, combine: vote does not use weights; write weighted_vote",
    ),
    "weights that add up to infinity": (
        ensemble("combine: weighted_vote", f"{SVM[:-1]}, weight: 1.0e+308}}, {MLP[:-1]}, weight: 1.0e+308}}"),
        "node a, members: the sum of the weights is not finite; make them smaller",
    ),
    "a wait longer than the pipeline": (
        ensemble("combine: vote, wait: 5s", more=", timeout: 2s"),
        "node a, wait: 5s is longer than the pipeline's timeout 2s; make it shorter",
    ),
    "an output that a member does not have": (
        ensemble("combine: mean, output: y", f"{SVM}, r: {{model: regress, inputs: {{pixels: input.x}}}}", "a.y"),
        "node a, members.svm: it has no output 'y', which is combined; there is label, probabilities",
    ),
    "several outputs in common": (
        ensemble("combine: mean", output="a.probabilities"),
        "node a, output: the members have label, probabilities in common; say which is combined",
    ),
    "no output in common": (
        ensemble("combine: vote", f"{SVM}, w: {{model: words, inputs: {{pixels: input.x}}}}"),
        "node a, output: the members have none in common (svm gives label, probabilities; w gives word); "
        "pass one on under the other's name",
    ),
    "members of different shapes": (
        ensemble("combine: mean", f"{SVM}, w: {{model: wide, inputs: {{pixels: input.x}}}}", "a.probabilities"),
        "node a, members.w: it gives probabilities FP32 [-1,12], svm gives probabilities FP32 [-1,10]; "
        "all members give the same",
    ),
    "a mean of text": (
        ensemble("combine: mean", "w: {model: words, inputs: {pixels: input.x}}", "a.word"),
        "node a, combine: word is BYTES, which has no mean; vote, or combine numbers",
    ),
    "one value a row side by side": (
        ensemble("combine: concat", "r: {model: regress, inputs: {pixels: input.x}}", "a.y"),
        "node a, output: y is [-1], one value a row; side by side they need [-1,1]",
    ),
    "a stack without a model": (
        ensemble("combine: stack, output: probabilities"),
        "node a, model: not said; stack needs one",
    ),
    "a stack that its model does not take": (
        ensemble("combine: stack, output: probabilities, model: over", SVM),
        "node a, model: what is combined of probabilities is FP32 [-1,10]; over takes x FP32 [-1,20]: "
        "give it that shape in a step between",
    ),
    "a stack into an input that there is not": (
        ensemble("combine: stack, output: probabilities, model: over, model_input: y"),
        "node a, model_input: over has no input 'y'; there is x",
    ),
    "a stack into a model of several inputs": (
        ensemble("combine: stack, output: probabilities, model: two"),
        "node a, model_input: two takes pixels FP32 [-1,64], mask BOOL [-1,64]; say which it is",
    ),
    "a function that there is not": (
        ensemble('combine: function, output: label, function: "app:odlest"', output="a.result"),
        "node a, function: no step 'app:odlest' in the packages that the composer was started with; "
        "did you mean 'app:oldest'?",
    ),
    # routes
    "nothing that decides": (
        one(f"{{route: {{arms: {{{A}}}}}}}}}"),
        "node a: nothing says which arm is taken; give split, rules or output",
    ),
    "no arms": (
        one("{route: {split: {}}}"),
        "node a, arms: none that answers; a route has at least one that is no mirror",
    ),
    "only a mirror": (
        route("split: {}", f"{A}, share: 1, mirror: true}}"),
        "node a, arms: none that answers; a route has at least one that is no mirror",
    ),
    "two arms of one name": (
        one(
            "{route: {split: {}, arms: [{name: m, share: 1, model: digits-svm, inputs: {pixels: input.x}}, "
            "{name: m, share: 1, model: digits-mlp, inputs: {pixels: input.x}}]}}"
        ),
        "node a, arms: two arms are called 'm'; each has a name of its own",
    ),
    "a negative share": (
        route("split: {}", f"{A}, share: -1}}, {B}, share: 2}}"),
        "node a, arms.a.share: -1; it is a number from 0",
    ),
    "shares that add up to nothing": (
        route("split: {}", f"{A}}}, {B}}}"),
        "node a, arms: the sum of the shares is not above 0; nobody would be answered",
    ),
    "a mirror of more than all": (
        route("split: {}", f"{A}, share: 1}}, {B}, share: 10, mirror: true}}"),
        "node a, arms.b.share: 10; of a mirror it is the part of the requests, above 0 to 1",
    ),
    "an override to an arm that there is not": (
        route("split: {overrides: {me: c}}", f"{A}, share: 1}}, {B}, share: 1}}"),
        "node a, split.overrides.me: 'c' is no arm; there is a, b",
    ),
    "a default of a split": (
        route("split: {}, default: a", f"{A}, share: 1}}"),
        "node a, default: a split has none: every request belongs to an arm; leave it out",
    ),
    "a default that there is not": (
        route("output: kind, default: c", f"{A}}}, {B}}}"),
        "node a, default: 'c' is no arm; there is a, b",
    ),
    "no default by a value": (
        route("output: kind", f"{A}}}, {B}}}"),
        "node a, default: not said; a value that names no arm would have nowhere to go",
    ),
    "no default by rules": (
        route("rules: {}", f"{A}, when: 'true'}}"),
        "node a, default: not said; a route by rules has an arm for when none holds",
    ),
    "an arm without its rule": (
        route("rules: {}, default: a", f"{A}}}, {B}}}"),
        "node a, arms.b.when: not said; it would never be taken",
    ),
    "a name that a rule cannot use": (
        route("rules: {inputs: {size: input.png}}, default: a", f"{A}}}, {B}, when: 'sise > 3'}}"),
        "node a, arms.b.when: 'sise' is not known; there is metadata, size",
    ),
    "a rule where there are shares": (
        route("split: {}", f"{A}, share: 1, when: 'true'}}"),
        "node a, arms.a.when: it belongs to a route by rules; leave it out",
    ),
    "a share where there are rules": (
        route("rules: {}, default: a", f"{A}}}, {B}, when: 'true', share: 3}}"),
        "node a, arms.b.share: it belongs to a route by split; leave it out",
    ),
    "a value that is no name": (
        f"{{outputs: {{o: a.label}}, nodes: {{{SVM}, a: {{route: {{output: svm.probabilities, default: a, "
        f"arms: {{{A}}}}}}}}}}}}}",
        "node a, output: svm.probabilities is FP32 [-1,10]; it is the name of an arm: text, truth or a whole number",
    ),
    "a truth with other arms": (
        "{outputs: {o: a.label}, nodes: {sure: {function: 'app:sure', inputs: {share: input.s}}, "
        f"a: {{route: {{output: sure, default: 'false', arms: {{{A}}}, "
        "'false': {model: digits-mlp, inputs: {pixels: input.x}}}}}}, "
        "inputs: {s: 'FP64 [1]', x: 'FP32 [-1,64]'}}",
        "node a, arms.a: sure.result is BOOL [1], so its arms are called true and false",
    ),
    "arms with other outputs": (
        route("split: {}", f"{A}, share: 1}}, b: {{model: words, inputs: {{pixels: input.x}}, share: 1}}"),
        "node a, arms.b: it gives word, a gives label, probabilities; all arms give the same outputs",
    ),
    "arms with other types": (
        route("split: {}", f"{A}, share: 1}}, b: {{pass: {{label: input.x, probabilities: input.x}}, share: 1}}"),
        "node a, arms.b: it gives label FP32 [-1,64], a gives label INT64 [-1]; all arms give the same outputs",
    ),
    "a mirror with nothing to compare": (
        route(
            "split: {}", f"{A}, share: 1}}, b: {{model: words, inputs: {{pixels: input.x}}, share: 1, mirror: true}}"
        ),
        "node a, arms.b: it gives word, none of label, probabilities; there is nothing to compare",
    ),
    "effects under a mirror": (
        route("split: {}", f"{A}, share: 1}}, b: {{model: pay, inputs: {{pixels: input.x}}, share: 1, mirror: true}}"),
        "node a, arms.b: 'pay' has effects (effects=True); what has them is never mirrored: take the arm out",
    ),
    "effects in a chain under a mirror": (
        route(
            "split: {}",
            f"{A}, share: 1}}, b: {{pass: {{label: pay.label}}, share: 1, mirror: true}}",
            ", pay: {model: pay, inputs: {pixels: input.x}}",
        ),
        "node a, arms.b: 'pay' has effects (effects=True); what has them is never mirrored: take the arm out",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_gives_its_message(rule: str) -> None:
    text, message = RULES[rule]
    found = findings(text)
    assert message in found, found


def test_one_mistake_gives_one_finding() -> None:
    several = {rule: found for rule, (text, _) in RULES.items() if len(found := findings(text)) != 1}
    assert several == {}


def test_a_node_of_several_outputs_is_asked_which() -> None:
    text = (
        "{outputs: {o: s.result}, nodes: {svm: {model: digits-svm, inputs: {pixels: input.x}}, "
        "s: {function: 'app:scaled', inputs: {x: svm}}}}"
    )
    assert findings(text) == ["node s, inputs.x: svm has 2 outputs; write one of svm.label, svm.probabilities"]


def test_a_rule_that_is_no_cel_is_quoted_with_its_error() -> None:
    [found] = findings(route("rules: {}, default: a", f"{A}}}, {B}, when: 'metadata =='}}"))
    assert found.startswith("node a, arms.b.when: 'metadata ==' is no CEL expression: ")


def test_a_rule_may_bind_names_of_its_own() -> None:
    text = route("rules: {}, default: a", f"{A}}}, {B}, when: 'metadata.exists(k, k == \"x\")'}}")
    assert findings(text) == []


def test_a_name_with_a_dot_is_no_name_of_a_node() -> None:
    text = "{outputs: {o: 'input.x'}, nodes: {'a.b': {pass: {y: input.x}}}}"
    assert findings(text) == [
        "node a.b: 'a.b' is no name of a node; letters, digits, _ and -, not a digit first, and not `input`"
    ]


def test_pipelines_that_call_each_other_are_refused_with_the_way_round() -> None:
    inner = "{outputs: {o: a.label}, nodes: {a: {model: middle, inputs: {pixels: input.x}}}}"
    middle = "{outputs: {o: a.label}, nodes: {a: {model: p, inputs: {pixels: input.x}}}}"
    text = one("{model: digits-svm, inputs: {pixels: input.x}, on_error: {model: inner}}")
    found = findings(text, inner=inner, middle=middle)
    assert "it calls itself: p -> inner -> middle -> p; take one of these calls out" in found


def test_effects_are_found_through_pipelines() -> None:
    inner = "{outputs: {label: pay.label}, nodes: {pay: {model: pay, inputs: {pixels: input.x}}}}"
    text = route(
        "split: {}", f"{A}, share: 1}}, b: {{model: digits-mlp, inputs: {{pixels: input.x}}, share: 1, mirror: true}}"
    )
    assert findings(text, **{"digits-mlp": inner}) == [
        "node a, arms.b: 'digits-mlp' has effects (effects=True); what has them is never mirrored: take the arm out"
    ]


def test_a_route_by_truth_with_both_arms_needs_no_default() -> None:
    text = (
        "{outputs: {o: a.label}, inputs: {s: 'FP64 [1]', x: 'FP32 [-1,64]'}, nodes: {"
        "sure: {function: 'app:sure', inputs: {share: input.s}}, a: {route: {output: sure, arms: {"
        "'true': {model: digits-svm, inputs: {pixels: input.x}}, 'false': {model: digits-mlp, inputs: {pixels: input.x}}}}}}}"
    )
    assert findings(text) == []


def test_a_route_by_truth_whose_step_is_not_there_is_told_of_the_step_alone() -> None:
    text = (
        "{outputs: {o: a.label}, inputs: {s: 'FP64 [1]', x: 'FP32 [-1,64]'}, nodes: {"
        "sure: {function: 'routes:sure', inputs: {share: input.s}}, a: {route: {output: sure, arms: {"
        "'true': {model: digits-svm, inputs: {pixels: input.x}}, 'false': {model: digits-mlp, inputs: {pixels: input.x}}}}}}}"
    )
    [found] = findings(text)
    assert found.startswith("node sure, function: no step 'routes:sure'")
