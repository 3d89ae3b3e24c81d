"""What each variable of the environment means, by group: name, default, meaning."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["GROUPS"]

GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "The mesh and its command": {
        "INFERLOOM_MESH": (
            "`127.0.0.1:8081`",
            "`HOST:PORT` of the mesh to call. Without it a command finds the mesh that `up` runs here.",
        ),
        "INFERLOOM_TOKEN": ("", "Bearer token of the mesh, of `--token`."),
        "INFERLOOM_CONTROL": (
            "",
            "`HOST:PORT` of this machine's control process, of `--control`: it watches Consul for the others.",
        ),
        "INFERLOOM_ZONE": ("", "`REGION/ZONE` of a router's or host's process, for policies with `locality: prefer`."),
        "INFERLOOM_LOG": ("`warning`", "Level of logs: `debug`, `info`, `warning` or `error`; of `--log-level`."),
        "INFERLOOM_LOG_FORMAT": (
            "JSON lines; text where stderr is a terminal",
            "`text`: readable lines wherever stderr goes.",
        ),
    },
    "Places": {
        "INFERLOOM_STATE": (
            "`$XDG_STATE_HOME/inferloom`",
            "Folder of what runs here, of logs, and of the registry's last good state.",
        ),
        "XDG_STATE_HOME": ("`~/.local/state`", "Used where `INFERLOOM_STATE` is not set."),
        "INFERLOOM_CACHE": ("`$XDG_CACHE_HOME/inferloom`", "Folder of the Triton runtime and of Consul's program."),
        "XDG_CACHE_HOME": ("`~/.cache`", "Used where `INFERLOOM_CACHE` is not set."),
        "CONSUL_BIN": ("`consul` on PATH, else the one in the cache", "Program of the Consul that `up` runs."),
        "ENVOY_BIN": ("that of `inferloom[edge]`, else the one on PATH", "Program that `edge` runs."),
    },
    "Consul": {
        "CONSUL_HTTP_ADDR": ("`127.0.0.1:8500`", "The agent: `HOST:PORT`, or with `http://` or `https://` before it."),
        "CONSUL_HTTP_TOKEN": ("", "ACL token."),
        "CONSUL_HTTP_TOKEN_FILE": ("", "File with the token, where `CONSUL_HTTP_TOKEN` is not set."),
        "CONSUL_HTTP_SSL": ("`false`", "`true`: HTTPS, where the address does not say."),
        "CONSUL_HTTP_SSL_VERIFY": ("`true`", "`false`: the agent's certificate is not checked."),
        "CONSUL_CACERT": (
            "the system's authorities",
            "PEM file of the authorities that may have signed the agent's certificate.",
        ),
        "CONSUL_CLIENT_CERT": ("", "PEM file of a certificate of one's own, for mTLS."),
        "CONSUL_CLIENT_KEY": ("", "PEM file of its key."),
        "CONSUL_NAMESPACE": ("the token's own", "Namespace (Consul Enterprise)."),
    },
    "Traces": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": ("none: no spans", "Where spans go, by OTLP over gRPC: `http://HOST:4317`."),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("", "The same for traces alone; it wins."),
        "OTEL_EXPORTER_OTLP_PROTOCOL": ("`grpc`", "Anything else is refused."),
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ("`grpc`", "The same for traces alone; it wins."),
        "OTEL_SDK_DISABLED": ("`false`", "`true`: no spans, whatever the endpoint."),
        "OTEL_SERVICE_NAME": ("`inferloom-` and the role", "Name of the process in traces."),
        "OTEL_TRACES_SAMPLER": (
            "`parentbased_always_on`, with a ratio `parentbased_traceidratio`",
            "Which traces are kept; failed requests and those that ask are kept always.",
        ),
        "OTEL_TRACES_SAMPLER_ARG": ("`1`", "Ratio of the samplers that have one, 0 to 1."),
        "OTEL_BSP_SCHEDULE_DELAY": ("`1000`", "Milliseconds between two exports."),
        "INFERLOOM_TRITON_OTLP": (
            "port 4318 of the host of `OTEL_EXPORTER_OTLP_ENDPOINT`",
            "Where Triton sends its own spans, by OTLP over HTTP: `http://HOST:4318/v1/traces`; `off`: nowhere.",
        ),
    },
    "The machine": {
        "CUDA_VISIBLE_DEVICES": ("all that nvidia-smi names", "GPUs that `up` may give to models and services."),
        "GRPC_VERBOSITY": ("`ERROR`", "What gRPC's core writes to stderr; `INFO` or `DEBUG` for more."),
        "GRPC_EXPERIMENTS": (
            "the older poller, for the versions of gRPC that it was tested with",
            "Experiments of gRPC; where it is set, the command leaves it as it is.",
        ),
    },
}
