"""What @service takes, refuses and makes of a class or function."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.declare.service import Service, service


@dataclass
class Answer:
    label: int
    sure: float


@service(replicas=2, max_ongoing=8, env={"OMP_NUM_THREADS": "1"})
class ReadDigit:
    """Reads a digit."""

    async def predict(self, png: bytes) -> Answer:
        return Answer(len(png), 1.0)

    async def embed(self, png: bytes, size: int = 2) -> list[float]:
        return [0.5] * size

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def _decode(self, png: bytes) -> bytes:
        return png


read_digit = service(ReadDigit)  # itself; mypy does not follow decorators of classes


def test_its_options_are_in_its_declaration() -> None:
    declaration = read_digit.declaration
    assert (declaration.name, declaration.replicas, declaration.max_ongoing) == ("ReadDigit", 2, 8)
    assert declaration.env == {"OMP_NUM_THREADS": "1"}
    assert declaration.repeat is Repeat.UNBEGUN
    assert declaration.place.split(":")[-1].isdecimal()
    assert read_digit.__doc__ == "Reads a digit."


def test_public_methods_are_served_and_start_close_and_private_ones_are_not() -> None:
    declaration = read_digit.declaration
    assert {declaration.catalog_name(method) for method in declaration.methods} == {"ReadDigit", "ReadDigit.embed"}
    assert read_digit.embed.name == "ReadDigit.embed"
    with pytest.raises(AttributeError, match="service 'ReadDigit' has no method 'embde'; it has embed, predict"):
        _ = read_digit.embde


async def test_the_class_itself_is_its_target() -> None:
    assert await read_digit.target().predict(b"four") == Answer(4, 1.0)


def test_its_types_come_from_the_annotations() -> None:
    signature = read_digit.declaration.types("predict").signature
    assert [str(spec) for spec in signature.inputs] == ["png BYTES [1]"]
    assert [str(spec) for spec in signature.outputs] == ["label INT64 [1]", "sure FP64 [1]"]


def test_a_class_may_inherit_from_a_service() -> None:
    class Better(ReadDigit):
        async def predict(self, png: bytes) -> Answer:
            return Answer(0, 0.0)

    assert issubclass(Better, read_digit.target)
    assert service(Better).declaration.name == "Better"


def test_an_async_function_is_a_service_of_its_name() -> None:
    @service(idempotent=True, version=3)
    async def count(text: str) -> int:
        return len(text)

    assert (count.declaration.name, count.declaration.version) == ("count", "3")
    assert count.declaration.repeat is Repeat.ANY
    assert count.declaration.bound(None, "count") is count.target


def test_a_service_with_effects_is_never_repeated() -> None:
    @service(effects=True)
    async def pay(amount: int) -> int:
        return amount

    assert pay.declaration.repeat is Repeat.NEVER


def test_an_async_generator_streams() -> None:
    @service
    async def tick(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    assert tick.declaration.stream
    assert tick.run_local(count=3) == [0, 1, 2]


def test_the_only_method_or_call_answers_under_the_services_name() -> None:
    @service
    class Alone:
        async def shout(self, text: str) -> str:
            return text.upper()

    @service
    class Called:
        async def __call__(self, text: str) -> str:
            return text.upper()

        async def whisper(self, text: str) -> str:
            return text.lower()

    alone, called = service(Alone), service(Called)  # mypy does not follow decorators of classes
    assert alone.declaration.default == "shout"
    assert called.declaration.default == "__call__"
    assert alone.run_local(text="a") == called.run_local(text="a") == "A"
    assert called.whisper.run_local(text="A") == "a"


def test_an_asgi_application_stands_for_itself() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    api = service(asgi=app, name="api")
    assert api.declaration.asgi is app
    assert api.declaration.methods == {}
    with pytest.raises(InvalidInput, match="service 'api' is an ASGI application: call it by HTTP"):
        api(x=1)
    with pytest.raises(InvalidInput, match="test it with its own test client"):
        api.run_local()


def test_declaring_a_declared_service_gives_it_back() -> None:
    known: Any = ReadDigit
    assert service(known) is known
    assert isinstance(known, Service)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 0}, "replicas=0 must be a whole number from 1"),
        ({"replicas": True}, "replicas=True must be a whole number"),
        ({"cpus": -1}, "cpus=-1 must be a whole number from 0"),
        ({"gpus": 0.5}, "gpus=0.5 must be a whole number"),
        ({"max_ongoing": -1}, "max_ongoing=-1 must be"),
        ({"version": "v2"}, "version='v2' must be a whole number from 1"),
        ({"name": "a b"}, "'a b' is no name of a service"),
        ({"effects": True, "idempotent": True}, "effects= and idempotent= contradict each other"),
        ({"stream": True}, "stream=True, but f.f does not `yield` its answers"),
        ({"env": {"A": 1}}, "env= maps names of environment variables to texts; got 'A': 1"),
        ({"asgi": print}, "asgi= stands alone"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_file_and_line(options: dict[str, Any], message: str) -> None:
    async def f(x: int) -> int:
        return x

    with pytest.raises(ConfigError) as caught:
        service(**options)(f) if "asgi" not in options else service(f, **options)
    place, _, rest = str(caught.value).partition(": ")
    assert place.rpartition(":")[0].endswith("test_service.py")
    assert message in rest


def test_methods_must_be_async() -> None:
    class Wrong:
        async def predict(self, x: int) -> int:
            return x

        def decode(self, png: bytes) -> bytes:
            return png

    with pytest.raises(
        ConfigError, match=r"test_service.py:\d+: Wrong.decode is public and so is served: write `async"
    ):
        service(Wrong)

    def plain(x: int) -> int:
        return x

    function: Any = plain
    with pytest.raises(ConfigError, match="service plain must be an `async def`; a plain function may be a @step"):
        service(function)


def test_several_methods_need_a_default() -> None:
    class Two:
        async def a(self, x: int) -> int:
            return x

        async def b(self, x: int) -> int:
            return x

    class Nothing:
        pass

    with pytest.raises(ConfigError, match=r"service Two needs a method `async def predict\(self, ...\)`; it has a, b"):
        service(Two)
    with pytest.raises(ConfigError, match=r"service Nothing needs a method .*; it has none"):
        service(Nothing)


def test_start_and_close_must_be_async() -> None:
    class Wrong:
        async def predict(self, x: int) -> int:
            return x

        def start(self) -> None: ...

    with pytest.raises(ConfigError, match=r"Wrong\.start runs in the host's event loop: write `async def start`"):
        service(Wrong)


def test_something_that_is_no_class_and_no_function_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(ConfigError, match=r"test_service.py:\d+: @service stands before a class or an async function"):
        service(wrong)
    with pytest.raises(ConfigError, match="asgi= is an ASGI application, not a int"):
        service(asgi=wrong)
    with pytest.raises(ConfigError, match="stream=, effects= and idempotent= are for methods"):
        service(asgi=print, stream=True)  # type: ignore[call-overload]
