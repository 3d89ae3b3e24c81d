from __future__ import annotations

from inferloom.mesh.router.metadata import forwarded


def test_everything_travels_on_but_the_transports_own_headers_and_the_meshs_token() -> None:
    trace = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    sent = (
        ("user-agent", "grpc-python"),
        ("authorization", "Bearer secret"),
        ("grpc-timeout", "1S"),
        ("grpc-accept-encoding", "gzip"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        trace,
        ("x-user", "ada"),
        ("x-user", "bob"),
        ("blob-bin", b"\x00\xff"),
    )
    assert forwarded(sent) == (trace, ("x-user", "ada"), ("x-user", "bob"), ("blob-bin", b"\x00\xff"))


def test_no_metadata_is_none() -> None:
    assert forwarded(None) == ()
    assert forwarded(()) == ()
