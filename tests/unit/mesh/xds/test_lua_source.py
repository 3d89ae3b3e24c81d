from __future__ import annotations

import re
from importlib.resources import files

import pytest

from inferloom.mesh.listen import Address
from inferloom.mesh.oip import METHODS, Kind
from inferloom.mesh.oip_rest import REST, refusal
from inferloom.mesh.xds import lua
from inferloom.mesh.xds.edge_settings import EdgeSettings

SETTINGS = EdgeSettings(tokens=("s3cret",), max_message=1 << 21, listen=Address("0.0.0.0", 8080))


def unquoted(text: str) -> bytes:
    """A string literal of Lua, read back."""
    assert text[0] == text[-1] == '"'
    assert '"' not in text[1:-1]
    assert text.isascii()
    assert text.isprintable()
    raw = text[1:-1].encode()
    return re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1])]), raw)


@pytest.mark.parametrize("text", ["", "plain", 'a"b', "a\\", "\\065", "a\nb\r\0", "]]--", "é\u2028", "a\x7f1", "%d %s"])
def test_any_text_stays_one_string_of_lua(text: str) -> None:
    assert unquoted(lua.literal(text)) == text.encode()


def test_values_are_written_as_lua_writes_them() -> None:
    assert lua.literal(True) == "true"
    assert lua.literal(64) == "64"
    assert lua.literal({"a": [1, "b"], "c": {}}) == '{["a"] = {1, "b"}, ["c"] = {}}'


def test_every_file_of_the_folder_is_part_of_the_source_once_and_after_what_it_uses() -> None:
    folder = files("inferloom.mesh.xds").joinpath("lua")
    names = {entry.name.removesuffix(".lua") for entry in folder.iterdir()} - {"frames"}  # a filter of its own
    source = lua.source(SETTINGS)
    places = {name: source.index(f"local {name} = (function()") for name in names}
    for name in names:
        body = re.sub(r"--.*", "", folder.joinpath(f"{name}.lua").read_text())
        used = {other for other in names if re.search(rf"(?<![\w.\"]){other}[.(]", body)} - {name}
        assert all(places[other] < places[name] for other in used), (name, used)
        assert source.count(f"local {name} = (function()") == 1
    assert source.rstrip().endswith("envoy_on_request = main.request")
    assert lua.source(SETTINGS, "infer").rstrip().endswith("envoy_on_request = main.infer")


def test_no_token_is_in_the_source() -> None:
    assert "s3cret" not in lua.source(SETTINGS)
    assert '["guarded"] = true' in lua.source(SETTINGS)
    assert '["guarded"] = false' in lua.source(EdgeSettings())


def test_the_settings_of_the_edge_are_in_it() -> None:
    source = lua.source(SETTINGS)
    assert f'["most"] = {1 << 21}' in source
    assert '["loopback"] = false' in source
    assert '["loopback"] = true' in lua.source(EdgeSettings())


def test_every_forbidden_call_is_in_it_with_the_routers_words() -> None:
    head = lua.source(SETTINGS).partition("\n")[0]
    for path, method in METHODS.items():
        assert (f"[{lua.literal(path)}] = {lua.literal(refusal(method))}" in head) == (method.kind is Kind.FORBIDDEN)


def test_patterns_of_lua_take_the_same_paths_as_the_table_of_rest() -> None:
    for method in REST:
        if method.kind is not Kind.FORBIDDEN:
            continue
        patterns = [re.compile(each) for each in lua.patterns(method.pattern)]
        for other in REST:
            for path in samples(other.pattern):
                assert any(each.search(path) for each in patterns) == bool(method.regex.fullmatch(path)), (method, path)


def samples(pattern: str) -> list[str]:
    """Paths that a row takes, and some near it."""
    plain = re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "a%20b", pattern).replace("/?", "/")
    with_all = re.sub(r"\(\?:(.*?)\)\?", r"\1", plain)
    without = re.sub(r"\(\?:(.*?)\)\?", "", plain)
    return [with_all, without, with_all + "/", with_all + "x", "/x" + without, with_all.replace("a%20b", "a/b")]


def test_a_path_that_no_pattern_can_express_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be written as a pattern"):
        lua.patterns(r"/v2/(a|b)")
