"""The `inferloom` command. Each subcommand is a few lines here; what it does is in a module of its name."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from inferloom.cli import logs
from inferloom.cli.registry import FORMS
from inferloom.mesh.errors import (
    Exhausted,
    InferloomError,
    InvalidInput,
    ModelNotFound,
    RegistryUnavailable,
    Unreachable,
)
from inferloom.mesh.version import __version__

__all__ = ["app", "main"]

UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # of a wrong option or argument; typer has no name for it

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Serve models as a mesh of gRPC microservices. Begin with: inferloom up model.onnx",
)
triton_app = typer.Typer(no_args_is_help=True, help="The managed Triton runtime.")
app.add_typer(triton_app, name="triton")
control_app = typer.Typer(help="The control plane: feeds edges by xDS; the one watcher of Consul on a machine.")
app.add_typer(control_app, name="control")
export_app = typer.Typer(no_args_is_help=True, help="A mesh for somewhere else.")
app.add_typer(export_app, name="export")

Mesh = Annotated[
    str | None,
    typer.Option("--mesh", help="HOST:PORT of the mesh; default: the one that runs here, or $INFERLOOM_MESH."),
]
Ca = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of the CA that signed the mesh's certificate: use TLS.")
]
Cert = Annotated[Path | None, typer.Option("--cert", help="PEM certificate of your own, for mTLS; needs --key.")]
Key = Annotated[Path | None, typer.Option("--key", help="Its PEM key.")]
Token = Annotated[str | None, typer.Option("--token", envvar="INFERLOOM_TOKEN", help="Bearer token of the mesh.")]
Admin = Annotated[str, typer.Option("--admin", help="HOST:PORT of /ready, /catalog, /config, /stacks, /metrics.")]
Name = Annotated[str | None, typer.Option("--as", help="NAME or NAME:VERSION; default: the file's name, version 1.")]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", help="Where the file does not say: NAME:TYPE[SHAPE], as x:FP32[-1,4].")
]
MaxMessage = Annotated[int, typer.Option("--max-message-mib", min=1, max=1024, help="Largest message, on every hop.")]
Outputs = Annotated[list[str] | None, typer.Option("--output", help="The same for outputs.")]
Shared = Annotated[
    str | None,
    typer.Option(
        "--control",
        envvar="INFERLOOM_CONTROL",
        help="HOST:PORT of this machine's control process, which then watches Consul for this one.",
    ),
]
Control = Annotated[
    str | None,
    typer.Option(
        "--control",
        envvar="INFERLOOM_CONTROL",
        help="HOST:PORT of the control plane of a gateway, several with commas; default: that of the mesh that runs here.",
    ),
]
Drain = Annotated[float, typer.Option("--drain-timeout", min=0, help="Seconds for what is in flight when it stops.")]
Exposures = Annotated[Path | None, typer.Option(help="File for who was shown which arm, as lines of JSON.")]
Http = Annotated[
    str | None,
    typer.Option("--http", help="HOST:PORT of JSON for services and pipelines, or off; default 127.0.0.1:8080."),
]
Triton = Annotated[str, typer.Option("--triton", help="managed, path (tritonserver on PATH) or docker[:TAG].")]


def _version(shown: bool) -> None:
    if shown:
        print(f"inferloom {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    log: Annotated[
        str, typer.Option("--log-level", envvar="INFERLOOM_LOG", help="debug, info, warning or error.")
    ] = "",
) -> None:
    logs.set_up(log)


@app.command()
def up(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|DIR", help="A model file, a Python file of services, or a folder with a mesh.yaml."
        ),
    ],
    registry: Annotated[
        str | None, typer.Option(help="memory (one process), consul (a dev agent of its own) or consul://HOST:PORT.")
    ] = None,
    grpc: Annotated[
        str | None, typer.Option(help="HOST:PORT to listen on; default 127.0.0.1:8081; port 0: any.")
    ] = None,
    admin: Admin = "127.0.0.1:0",
    replicas: Annotated[int | None, typer.Option(min=1, max=64, help="Of each model that does not say itself.")] = None,
    name: Name = None,
    gpus: Annotated[int, typer.Option(min=0, max=64, help="GPUs of each replica of a single file.")] = 0,
    input: Inputs = None,
    output: Outputs = None,
    max_message_mib: MaxMessage = 64,
    triton: Triton = "managed",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until everything must be served.")] = 600.0,
    drain_timeout: Drain = 10.0,
    http: Http = None,
    gateway: Annotated[
        str | None, typer.Option(help="python: clients reach the router itself; envoy: Envoy in front of it.")
    ] = None,
    reload: Annotated[
        bool | None,
        typer.Option("--reload/--no-reload", help="Serve changed Python files at once; default: of `up FILE.py`."),
    ] = None,
) -> None:
    """Run a whole mesh on this machine, in the foreground."""
    from inferloom.cli.up.run import UpOptions, run_up

    options = UpOptions(
        source=source,
        registry=registry,
        grpc=grpc,
        admin=admin,
        replicas=replicas,
        name=name,
        gpus=gpus,
        inputs=tuple(input or ()),
        outputs=tuple(output or ()),
        max_message_mib=max_message_mib,
        triton=triton,
        timeout=timeout,
        drain_timeout=drain_timeout,
        http=http,
        gateway=gateway,
        reload=reload,
    )
    _run(run_up(options))


@app.command()
def add(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A model file, a folder in Triton's layout, or a Python file of services."),
    ],
    name: Name = None,
    replicas: Annotated[int | None, typer.Option(min=1, max=64, help="How many; default 1, or as before.")] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, max=64, help="GPUs of each replica; default 0, or as before.")
    ] = None,
    warmup: Annotated[Path | None, typer.Option(help="A first request with its known answer, as JSON.")] = None,
    input: Inputs = None,
    output: Outputs = None,
    mesh: Mesh = None,
    token: Token = None,
) -> None:
    """Add a model, a version of one, or a file of services to a running mesh.

    A version takes no traffic by being added; only one that is older than all others, without a split, answers at once.
    """
    from inferloom.cli.change import add as run

    _run(
        run(
            source,
            mesh=mesh,
            token=token,
            name=name,
            replicas=replicas,
            gpus=gpus,
            warmup=warmup,
            inputs=tuple(input or ()),
            outputs=tuple(output or ()),
        )
    )


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME[:VERSION]")], mesh: Mesh = None, token: Token = None
) -> None:
    """Take a model, service or pipeline, or one version of it, out of a running mesh."""
    from inferloom.cli.change import remove as run

    _run(run(name, mesh=mesh, token=token))


@app.command()
def split(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model or service.")],
    arms: Annotated[
        list[str] | None, typer.Argument(metavar="[VERSION=SHARE]...", help="As 1=90 2=10: all arms that answer.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Metadata key of the unit that keeps its version, as user; '': none.")
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(help="VERSION=PERCENT of the requests are copied to it and compared; 0: no more."),
    ] = None,
    override: Annotated[list[str] | None, typer.Option(help="UNIT=VERSION, for testers; UNIT= takes it out.")] = None,
    salt: Annotated[str | None, typer.Option(help="Another one draws everybody anew; default: the name.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last change back.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Every change, newest first.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Have no split any more.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print the table once.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON once.")] = False,
    mesh: Mesh = None,
    token: Token = None,
) -> None:
    """Share a model's requests out over its versions, or show what each of them has done."""
    from inferloom.cli.split import Change, run_split

    change = Change(tuple(arms or ()), tuple(mirror or ()), tuple(override or ()), by, salt)
    asked = {"--undo": undo, "--history": history, "--remove": remove, "--once": once, "--json": json}
    _run(run_split(name, change, [option for option, given in asked.items() if given], mesh=mesh, token=token))


DocumentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="YAML with documents (kind, name, spec), or a Python file that declares.")
]
DocumentKind = Annotated[str, typer.Argument(metavar="KIND", help="pipeline, split, policy, model, service or app.")]
DocumentName = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def check(file: DocumentFile, mesh: Mesh = None, token: Token = None) -> None:
    """Say what is wrong with documents, every finding on a line; changes nothing. Exit status 2 where something is."""
    from inferloom.cli.documents.apply import check as run

    if not _run(run(file, mesh=mesh, token=token)):
        raise typer.Exit(2)


@app.command()
def apply(file: DocumentFile, mesh: Mesh = None, token: Token = None) -> None:
    """Check documents and write them into the running mesh: all of them, or none."""
    from inferloom.cli.documents.apply import apply as run

    if not _run(run(file, mesh=mesh, token=token)):
        raise typer.Exit(2)


@app.command()
def get(
    kind: DocumentKind,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Without it: the names there are.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="An older one.")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="yaml, json; of pipelines also text and svg, a drawing.")
    ] = None,
    mesh: Mesh = None,
    token: Token = None,
) -> None:
    """Show a document; a pipeline is drawn."""
    from inferloom.cli.documents.show import get as run

    _run(run(kind, name, version, output, mesh=mesh, token=token))


@app.command()
def diff(
    what: Annotated[list[str], typer.Argument(metavar="FILE | KIND NAME [OLD [NEW]]")],
    mesh: Mesh = None,
    token: Token = None,
) -> None:
    """What `apply FILE` would change, or what changed between two versions. Exit status 1 where they differ."""
    from inferloom.cli.documents.show import diff as run

    if not _run(run(what, mesh=mesh, token=token)):
        raise typer.Exit(1)


@app.command()
def history(kind: DocumentKind, name: DocumentName, mesh: Mesh = None, token: Token = None) -> None:
    """Every kept version of a document, newest first."""
    from inferloom.cli.documents.show import history as run

    _run(run(kind, name, mesh=mesh, token=token))


@app.command()
def rollback(
    kind: DocumentKind,
    name: DocumentName,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", min=1, help="Default: the one before.")] = None,
    mesh: Mesh = None,
    token: Token = None,
) -> None:
    """Write an older version of a document as its newest."""
    from inferloom.cli.documents.change import rollback as run

    if not _run(run(kind, name, version, mesh=mesh, token=token)):
        raise typer.Exit(2)


@app.command()
def delete(kind: DocumentKind, name: DocumentName, mesh: Mesh = None, token: Token = None) -> None:
    """Take a document out of the mesh; `rollback` brings it back."""
    from inferloom.cli.documents.change import delete as run

    _run(run(kind, name, mesh=mesh, token=token))


@app.command()
def models(
    mesh: Mesh = None,
    token: Token = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    once: Annotated[bool, typer.Option("--once", help="Print the table once.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON once.")] = False,
) -> None:
    """A live table of models, replicas, health and load."""
    from inferloom.cli.models import show_models

    _run(show_models(mesh, token, once=once, json=json, ca=ca, cert=cert, key=key))


@app.command()
def infer(
    model: str,
    input: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="NAME=VALUE: JSON, text, @file.npy, @file.json, @zeros.")
    ] = None,
    version: Annotated[str, typer.Option(help="Of the model.")] = "",
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds.")] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    mesh: Mesh = None,
    token: Token = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Call a model once and show its answer."""
    from inferloom.cli.infer import infer as run
    from inferloom.cli.state import find

    address = find(mesh, token).address
    secure: dict[str, Any] = {"ca": ca, "cert": cert, "key": key}
    _run(run(address, model, input or (), version=version, timeout=timeout, json=json, token=token, **secure))


@app.command()
def router(
    registry: Annotated[str, typer.Option(help=FORMS)] = "consul",
    grpc: Annotated[str, typer.Option(help="HOST:PORT to listen on.")] = "127.0.0.1:8081",
    admin: Admin = "127.0.0.1:9100",
    max_message_mib: MaxMessage = 64,
    max_in_flight_mib: Annotated[int, typer.Option(min=1, help="Request bytes at once in this process.")] = 512,
    drain_timeout: Drain = 30.0,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM CA: callers must show a certificate (mTLS).")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token that every call needs.")] = None,
    write_token_file: Annotated[Path | None, typer.Option(help="File with the token that writing needs.")] = None,
    exposures: Exposures = None,
    http: Annotated[str, typer.Option(help="HOST:PORT of JSON, REST and /docs, or off.")] = "off",
    public: Annotated[str, typer.Option(help="HOST:PORT of an edge in front of --http, where callers come in.")] = "",
    control: Shared = None,
) -> None:
    """Run a router: finds replicas in a registry and balances over them."""
    from inferloom.cli.router import run_router

    _run(
        run_router(
            grpc,
            admin,
            registry,
            max_message_mib=max_message_mib,
            max_in_flight_mib=max_in_flight_mib,
            drain_timeout=drain_timeout,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            token_file=token_file,
            write_token_file=write_token_file,
            exposures=exposures,
            http=http,
            public=public,
            control=control,
        )
    )


@app.command()
def sidecar(
    repository: Annotated[Path | None, typer.Option(help="Model repository to load and to watch.")] = None,
    triton_url: Annotated[str, typer.Option(help="Attach to a running Triton at HOST:PORT (gRPC).")] = "",
    triton_http_port: Annotated[int, typer.Option(min=0, max=65535, help="REST port of an attached Triton.")] = 0,
    triton_metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Its metrics port.")] = 0,
    triton: Triton = "managed",
    triton_option: Annotated[list[str] | None, typer.Option(help="Passed on to tritonserver.")] = None,
    registry: Annotated[str, typer.Option(help=FORMS)] = "consul",
    advertise: Annotated[str, typer.Option(help="Host that others reach Triton at.")] = "127.0.0.1",
    id: Annotated[str, typer.Option("--id", help="Of this replica; default: host and process.")] = "",
    weight: Annotated[float, typer.Option(help="Share of the traffic relative to its peers.")] = 1.0,
    locality: Annotated[str, typer.Option(help="REGION/ZONE.")] = "",
    gpus: Annotated[str, typer.Option(help="CUDA_VISIBLE_DEVICES of Triton, as 0,1.")] = "",
    health_host: Annotated[str | None, typer.Option(help="Host of grpc.health.v1; default: as --advertise.")] = None,
    health_port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0: any.")] = 0,
    admin: Admin = "127.0.0.1:9101",
    drain_timeout: Drain = 30.0,
    log: Annotated[Path | None, typer.Option(help="File for Triton's output.")] = None,
    allow_vulnerable_triton: Annotated[
        bool, typer.Option("--allow-vulnerable-triton", help="Let a Triton before 25.07 be reached from elsewhere.")
    ] = False,
    token: Token = None,
    control: Shared = None,
) -> None:
    """Run one Triton, or attach to one, and keep its models in the registry."""
    from inferloom.cli.sidecar import run_sidecar
    from inferloom.sidecar.config import SidecarConfig

    config = SidecarConfig(
        repository=repository,
        triton=triton,
        triton_url=triton_url,
        triton_http_port=triton_http_port,
        triton_metrics_port=triton_metrics_port,
        triton_options=tuple(triton_option or ()),
        advertise=advertise,
        replica_id=id,
        weight=weight,
        locality=locality,
        gpus=tuple(part for part in gpus.split(",") if part),
        health_host=health_host or advertise,
        health_port=health_port,
        drain_timeout=drain_timeout,
        log_path=log,
        allow_vulnerable_triton=allow_vulnerable_triton,
    )
    _run(run_sidecar(config, registry, admin, token, control))


@app.command()
def host(
    source: Annotated[
        str, typer.Argument(metavar="[APP]", help="A Python file with services and pipelines, or package.module.")
    ] = "",
    describe: Annotated[bool, typer.Option("--describe", help="Print what APP declares, as JSON, and end.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="NAME of a service to run; default: all of APP.")] = None,
    no_services: Annotated[
        bool, typer.Option("--no-services", help="None: APP is for the functions that pipelines name.")
    ] = False,
    pipelines: Annotated[bool, typer.Option("--pipelines", help="Run the pipelines too.")] = False,
    registry: Annotated[str, typer.Option(help=FORMS)] = "consul",
    grpc: Annotated[str, typer.Option(help="HOST:PORT to listen on; port 0: any.")] = "127.0.0.1:0",
    advertise: Annotated[str, typer.Option(help="Host that others reach it at.")] = "127.0.0.1",
    id: Annotated[str, typer.Option("--id", help="Of this replica; default: host and process.")] = "",
    locality: Annotated[str, typer.Option(help="REGION/ZONE.")] = "",
    admin: Admin = "127.0.0.1:0",
    reload: Annotated[bool, typer.Option("--reload/--no-reload", help="Import changed files anew.")] = False,
    hang: Annotated[
        float, typer.Option(min=0, help="Seconds its event loop may stand still before it ends itself; 0: for ever.")
    ] = 10.0,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds a call may go on after its deadline before the process is replaced.")
    ] = 5.0,
    max_message_mib: MaxMessage = 64,
    drain_timeout: Drain = 30.0,
    exposures: Exposures = None,
    token: Token = None,
    control: Shared = None,
) -> None:
    """Run services and pipelines, and keep them in the registry."""
    from inferloom.cli.host import describe_app, run_host
    from inferloom.mesh.listen import parse_address
    from inferloom.services.host.config import HostConfig

    if describe:
        print(describe_app(source))
        return
    config = HostConfig(
        app=source,
        only=tuple(only or ()),
        services=not no_services,
        pipelines=pipelines,
        address=parse_address(grpc, "--grpc"),
        advertise=advertise,
        replica_id=id,
        locality=locality,
        reload=reload,
        hang=hang,
        grace=grace,
        drain_timeout=drain_timeout,
        max_message=max_message_mib * 1024 * 1024,
    )
    _run(run_host(config, registry, admin, token, exposures, control))


@app.command()
def edge(
    listen: Annotated[str, typer.Option(help="HOST:PORT for gRPC and HTTP.")] = "127.0.0.1:8081",
    control: Annotated[str, typer.Option(help="HOST:PORT of the control plane; several separated by commas.")] = (
        "127.0.0.1:9091"
    ),
    token_file: Annotated[Path | None, typer.Option(help="The mesh's token, where the control plane has one.")] = None,
    admin: Annotated[str, typer.Option(help="HOST:PORT of Envoy's admin, on loopback.")] = "127.0.0.1:0",
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM CA: callers must show a certificate (mTLS).")] = None,
    access_log: Annotated[str, typer.Option(help="Lines of JSON for: failures, all or off.")] = "failures",
    zone: Annotated[str, typer.Option(help="REGION/ZONE; replicas of the same one are preferred.")] = "",
    concurrency: Annotated[int, typer.Option(min=0, help="Threads; 0: as many as there are CPUs.")] = 0,
    drain_timeout: Drain = 30.0,
    max_message_mib: MaxMessage = 64,
    max_memory_mib: Annotated[int, typer.Option(min=256, help="Heap above which Envoy turns requests away.")] = 2048,
) -> None:
    """Run Envoy in front of the mesh: one port for gRPC and HTTP, fed by `inferloom control`."""
    from inferloom.cli.edge import EdgeOptions, run_edge

    options = EdgeOptions(
        listen=listen,
        control=control,
        token_file=token_file,
        admin=admin,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        access_log=access_log,
        zone=zone,
        concurrency=concurrency,
        drain_timeout=drain_timeout,
        max_message_mib=max_message_mib,
        max_memory_mib=max_memory_mib,
    )
    _run(run_edge(options))


@control_app.callback(invoke_without_command=True)
def control(
    context: typer.Context,
    registry: Annotated[str, typer.Option(help=FORMS)] = "consul",
    grpc: Annotated[str, typer.Option(help="HOST:PORT to listen on, on loopback.")] = "127.0.0.1:9091",
    router: Annotated[str, typer.Option(help="HOST:PORT of the router's gRPC, for what edges do not route.")] = (
        "127.0.0.1:8081"
    ),
    router_http: Annotated[str, typer.Option(help="HOST:PORT of its HTTP.")] = "127.0.0.1:8080",
    admin: Admin = "127.0.0.1:9102",
    token_file: Annotated[Path | None, typer.Option(help="File with the token that calls of an edge need.")] = None,
    write_token_file: Annotated[Path | None, typer.Option(help="File with the token that writing needs.")] = None,
    zone: Annotated[str, typer.Option(help="REGION/ZONE of edges that do not say theirs.")] = "",
    otlp: Annotated[
        str,
        typer.Option(help="HOST:PORT that edges send traces to; off; else that of OTEL_EXPORTER_OTLP_ENDPOINT."),
    ] = "",
) -> None:
    """Run a control plane: feeds edges by xDS, and watches the registry for the processes of this machine."""
    if context.invoked_subcommand is not None:
        return
    from inferloom.cli.control import run_control

    _run(
        run_control(
            grpc,
            admin,
            registry,
            router=router,
            router_http=router_http,
            token_file=token_file,
            write_token_file=write_token_file,
            zone=zone,
            otlp=otlp,
        )
    )


@control_app.command("status")
def control_status(
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            envvar="INFERLOOM_CONTROL",
            help="HOST:PORT of the control plane; default: that of the mesh that runs here, else 127.0.0.1:9091.",
        ),
    ] = None,
    mesh: Mesh = None,
) -> None:
    """What each edge has taken and what it refuses. Exit status 1 where something is refused."""
    from inferloom.cli.control import show_status

    if not _run(show_status(control, mesh)):
        raise typer.Exit(1)


@app.command()
def codegen(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Models, services or pipelines.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for what is written.")] = Path("protos"),
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE|DIR", help="A model's file or folder; default: ask the mesh."),
    ] = None,
    client: Annotated[
        str, typer.Option(metavar="LANGUAGE", help="python: a package with stubs, type hints and numpy helpers too.")
    ] = "",
    major: Annotated[int | None, typer.Option(min=1, help="Of the package; 2 for what breaks the stubs of v1.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 1 where a file differs.")] = False,
    mesh: Mesh = None,
    token: Token = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Write a typed proto for a model, service or pipeline, from which stubs of any language are made."""
    from inferloom.cli.codegen.command import Options
    from inferloom.cli.codegen.command import codegen as run

    chosen = Options(tuple(dict.fromkeys(names or ())), out, source, client, major, check, mesh, token, ca, cert, key)
    if not _run(run(chosen)):
        raise typer.Exit(1)


@app.command()
def explain(
    request_id: Annotated[
        str | None,
        typer.Argument(metavar="[REQUEST_ID]", help="Its x-request-id, id or trace id; default: list the last ones."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows of the list; 0: all that are kept.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    control: Control = None,
    mesh: Mesh = None,
    token: Token = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Tell why a request was slow or failed; without an id, list those that were and did."""
    from inferloom.cli.explain import explain as run
    from inferloom.cli.state import find
    from inferloom.clients.channel import Endpoint

    state = find(mesh, token)
    endpoint = Endpoint(state.address, ca=ca, cert=cert, key=key)
    _run(run(request_id, endpoint, state.token, limit=limit, json=json, control=control or state.control))


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one frame.")] = False,
    control: Control = None,
    mesh: Mesh = None,
    token: Token = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Show what the mesh looks like now: models, replicas, load, splits, pipelines, failures. q quits."""
    from inferloom.cli.state import find
    from inferloom.cli.top import top as run
    from inferloom.clients.channel import Endpoint

    state = find(mesh, token)
    endpoint = Endpoint(state.address, ca=ca, cert=cert, key=key)
    _run(run(endpoint, state.token, once=once, control=control or state.control))


@app.command()
def doctor() -> None:
    """Say what works on this machine, and what to install."""
    from inferloom.cli.doctor import run_doctor

    if not _run(run_doctor()):
        raise typer.Exit(1)


@app.command()
def build(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A folder as `up` takes it.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For the Dockerfile and what it copies; made anew.")] = (
        Path("build")
    ),
    base: Annotated[str, typer.Option(help="The mesh's own image, for the line that is printed.")] = "",
) -> None:
    """Write what `docker build` makes an image of: your services and their lock, your models, a revision."""
    from inferloom.cli.build import build as run

    made = _run(run(source, out))
    arguments = [f"--build-arg REVISION={made.revision}", *([f"--build-arg BASE={base}"] if base else [])]
    print(f"{made.revision}\ndocker build {' '.join(arguments)} -t {made.image} {out}")


@export_app.command("helm")
def export_helm(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A folder as `up` takes it.")],
    image: Annotated[str, typer.Option(help="Name of the image of `inferloom build`, as it is pushed.")] = "",
    models: Annotated[
        str, typer.Option(help="Where Tritons get their models: image, s3://BUCKET/PREFIX or pvc:NAME.")
    ] = "image",
) -> None:
    """Print the values with which the Helm chart makes the same mesh, document for document."""
    from inferloom.cli.export import export_helm as run

    text, notes = _run(run(source, image, models))
    print(text, end="")
    for note in notes:
        print(f"inferloom: {note}", file=sys.stderr)


@export_app.command("apply", hidden=True)
def export_apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: documents as they are stored.")],
    registry: Annotated[str, typer.Option(help=FORMS)] = "consul",
    source: Annotated[list[Path] | None, typer.Option(help="Python file with functions that pipelines name.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds for the models that they name.")] = 0.0,
) -> None:
    """Write documents straight into a registry: what the chart's Job does."""
    from inferloom.cli.apply_direct import apply_directly

    if not _run(apply_directly(file, registry, frozenset(source or ()), wait)):
        raise typer.Exit(2)


@triton_app.command("install")
def triton_install(
    extras: Annotated[
        list[str] | None, typer.Option("--with", help="sklearn, xgboost, torch or gpu; may be given several times.")
    ] = None,
) -> None:
    """Install the managed Triton runtime (about 300 MB) into the user's cache."""
    from inferloom.cli.up.output import Output
    from inferloom.sidecar.install import install

    output = Output()
    try:
        runtime = _run(install(output.progress, extras or ()))
    finally:
        output.done()
    print(f"Triton {runtime.version} is ready in {runtime.folder}")


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except InferloomError as error:
        raise typer.Exit(_complain(error)) from None


def _complain(error: InferloomError) -> int:
    """One line on stderr; the exit status."""
    print(f"inferloom: {error}", file=sys.stderr)
    if isinstance(error, InvalidInput | ModelNotFound) or (isinstance(error, Exhausted) and error.reason == "size"):
        return 2
    return 3 if isinstance(error, RegistryUnavailable | Unreachable) else 1


def _warn(message: Warning | str, *place: object, **more: object) -> None:
    """A warning as one line; the place in the code is nobody's here."""
    print(f"inferloom: warning: {message}", file=sys.stderr)


def main() -> None:
    """Entry point of the command.

    Exit status: 0 well, 1 it failed, 2 it was told something wrong, 3 no mesh or no registry answers.
    """
    warnings.showwarning = _warn
    try:
        status = app(prog_name="inferloom", standalone_mode=False)
    except InferloomError as error:
        status = _complain(error)
    except UsageError as error:
        text = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
        where = getattr(getattr(error, "ctx", None), "command_path", "inferloom")
        if text:  # without one the help has just been shown
            print(f"inferloom: {text}: see {where} --help", file=sys.stderr)
        status = 2
    except typer.Abort:
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
