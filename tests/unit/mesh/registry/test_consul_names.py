from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.registry.consul.instance import CheckOptions, of_replica, of_sidecar
from inferloom.mesh.registry.consul.keys import Keys, service_name
from inferloom.mesh.registry.consul.settings import ConsulSettings

names = st.text(st.sampled_from("abxXe2ed.-_0"), min_size=1, max_size=12).filter(lambda name: name.strip("."))


@given(names, names)
def test_two_models_have_one_service_only_if_they_differ_in_case_alone(one: str, other: str) -> None:
    assert (service_name(one) == service_name(other)) == (one.lower() == other.lower())


@given(names)
def test_a_service_name_is_made_of_what_dns_takes(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", service_name(name))


@pytest.mark.parametrize(("name", "service"), [("iris", "iris"), ("digits-svm", "digits-svm"), ("Up.v2", "up-x2e-v2")])
def test_usual_names_stay_readable(name: str, service: str) -> None:
    assert service_name(name) == service


@given(names, names)
def test_a_key_tells_its_parts(model: str, replica: str) -> None:
    keys = Keys("mine")
    assert keys.of_record(keys.record(model, replica)) == (model, replica)
    assert keys.of_document(keys.document(model, replica)) == (model, replica)


@pytest.mark.parametrize(
    "key", ["inferloom/replicas/a", "inferloom/replicas/a/b/c", "inferloom/replicas//b", "other/a/b"]
)
def test_other_keys_are_no_records(key: str) -> None:
    assert Keys().of_record(key) is None


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ü", "a%2E", "a" * 129])
def test_names_that_cannot_be_keys_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no replica id"):
        Keys().record("iris", name)


@pytest.mark.parametrize("prefix", ["", "A", "a/b", "-a", "a" * 33])
def test_a_prefix_that_cannot_be_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="Consul prefix"):
        Keys(prefix)


def test_replicas_follow_the_one_check_of_their_sidecar() -> None:
    keys = Keys()
    instance = of_replica(keys, Replica("Iris", "a", "h", 1, State.STARTING, ("1",), weight=0.001, check="[::1]:7"))
    sidecar = of_sidecar(keys, "[::1]:7", CheckOptions(tls=True))
    assert instance.check["AliasService"] == sidecar.id
    assert (sidecar.host, sidecar.port, sidecar.check["GRPC"], sidecar.check["GRPCUseTLS"]) == (
        "::1",
        7,
        "[::1]:7",
        True,
    )
    assert (instance.service, instance.weight, instance.meta["model"], instance.meta["state"]) == (
        "iris",
        1,
        "Iris",
        "starting",
    )


def test_an_instance_knows_whether_the_agent_has_it() -> None:
    instance = of_replica(Keys(), Replica("iris", "a", "h", 1))
    told = instance.registration()
    agent = {"Service": told["name"], "Address": "h", "Port": 1, "Meta": told["meta"], "Weights": {"Passing": 100}}
    assert instance.same_as(agent)
    assert not instance.same_as(agent | {"Port": 2})
    assert not instance.same_as({})


@pytest.mark.parametrize("check", ["", "host", ":1", "host:", "host:x"])
def test_a_check_that_is_no_address_is_refused(check: str) -> None:
    with pytest.raises(InvalidInput, match="is no HOST:PORT"):
        of_sidecar(Keys(), check, CheckOptions())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8500", ("http", "127.0.0.1", 8500)),
        ("consul", ("http", "consul", 8500)),
        ("https://consul.example:8501/", ("https", "consul.example", 8501)),
        ("consul://h:1", ("http", "h", 1)),
        ("[::1]:9", ("http", "::1", 9)),
    ],
)
def test_forms_of_an_address(text: str, expected: tuple[str, str, int]) -> None:
    settings = ConsulSettings().at(text)
    assert (settings.scheme, settings.host, settings.port) == expected
    assert ConsulSettings().at(settings.address).host == settings.host


@pytest.mark.parametrize("text", ["", "h:port", "h:99999", "unix:///run/consul.sock", "ftp://h:1", "h:1/path"])
def test_an_address_that_cannot_be_names_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="CONSUL_HTTP_ADDR") as caught:
        ConsulSettings().at(text, "CONSUL_HTTP_ADDR")
    assert "\n" not in str(caught.value)


def test_consuls_usual_variables(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "ca.pem").write_text("")
    environ = {
        "CONSUL_HTTP_ADDR": "consul.example:8501",
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_HTTP_SSL_VERIFY": "false",
        "CONSUL_HTTP_TOKEN_FILE": str(tmp_path / "token"),
        "CONSUL_CACERT": str(tmp_path / "ca.pem"),
        "CONSUL_NAMESPACE": "team",
    }
    settings = ConsulSettings.from_environment(environ)
    assert (settings.scheme, settings.address, settings.token) == ("https", "consul.example:8501", "secret")
    assert (settings.ca, settings.verify, settings.namespace) == (tmp_path / "ca.pem", False, "team")
    assert "secret" not in repr(settings)
    assert ConsulSettings.from_environment(environ | {"CONSUL_HTTP_TOKEN": "own"}, "h:1").token == "own"
    assert ConsulSettings.from_environment({}) == ConsulSettings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CONSUL_HTTP_SSL", "maybe"), ("CONSUL_CACERT", "/not/there"), ("CONSUL_HTTP_TOKEN_FILE", "/not/there")],
)
def test_a_variable_that_cannot_be_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{variable}={value}|^{variable}='{value}'"):
        ConsulSettings.from_environment({variable: value})
