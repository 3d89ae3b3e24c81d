"""The filters that a request passes: name of a stream's model, Lua, JSON for MeshService, router."""

from __future__ import annotations

import betterproto2
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.filters.http.grpc_field_extraction.v3 import (
    FieldExtractions,
    GrpcFieldExtractionConfig,
    RequestFieldValueDisposition,
)
from envoy_data_plane.envoy.extensions.filters.http.grpc_json_transcoder.v3 import (
    GrpcJsonTranscoder,
    GrpcJsonTranscoderPrintOptions,
    GrpcJsonTranscoderRequestValidationOptions,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from inferloom.mesh.oip import MODEL_STREAM_INFER, pb
from inferloom.mesh.xds import lua
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.messages import packed
from inferloom.mesh.xds.types import INFER, LUA, STREAM_FRAMES, STREAM_NAMES, TRANSCODER
from inferloom.v1 import mesh_pb2

__all__ = ["descriptors", "http_filters"]

MESH_SERVICE = mesh_pb2.DESCRIPTOR.services_by_name["MeshService"].full_name


def http_filters(settings: EdgeSettings) -> list[HttpFilter]:
    """In their order. Three are switched on by the routes that want them (default_routes.py)."""
    return [
        _filter(STREAM_FRAMES, Lua(default_source_code=DataSource(inline_string=lua.frames())), disabled=True),
        _filter(STREAM_NAMES, _stream_names(), disabled=True),
        _filter(LUA, _lua(settings)),
        _filter(TRANSCODER, _mesh_service(), disabled=True),
        # No x-envoy- headers: they would tell callers of the mesh's inside.
        _filter("envoy.filters.http.router", Router(suppress_envoy_headers=True)),
    ]


def _lua(settings: EdgeSettings) -> Lua:
    """A second source for the route that asks for it by name."""
    return Lua(
        default_source_code=DataSource(inline_string=lua.source(settings)),
        source_codes={INFER: DataSource(inline_string=lua.source(settings, INFER))},
        clear_route_cache=True,
    )


def descriptors(file: FileDescriptor) -> bytes:
    """A serialised FileDescriptorSet of a file and all that it imports, imports first."""
    found: dict[str, FileDescriptor] = {}

    def add(each: FileDescriptor) -> None:
        if each.name not in found:
            for imported in each.dependencies:
                add(imported)
            found[each.name] = each

    add(file)
    files = FileDescriptorSet()
    for each in found.values():
        each.CopyToProto(files.file.add())
    return files.SerializeToString(deterministic=True)


def _stream_names() -> GrpcFieldExtractionConfig:
    """The first message of a stream of inferences names its model. Other methods pass untouched."""
    names = FieldExtractions(request_field_extractions={"model_name": RequestFieldValueDisposition()})
    return GrpcFieldExtractionConfig(
        descriptor_set=DataSource(inline_bytes=descriptors(pb.DESCRIPTOR)),
        extractions_by_method={f"{MODEL_STREAM_INFER.service}.{MODEL_STREAM_INFER.name}": names},
    )


def _mesh_service() -> GrpcJsonTranscoder:
    """GET of what there is in the mesh. Only methods with a google.api.http rule have a path; errors become JSON of
    google.rpc.Status."""
    return GrpcJsonTranscoder(
        proto_descriptor_bin=descriptors(mesh_pb2.DESCRIPTOR),
        services=[MESH_SERVICE],
        convert_grpc_status=True,
        print_options=GrpcJsonTranscoderPrintOptions(
            always_print_primitive_fields=True,
            preserve_proto_field_names=True,
            stream_newline_delimited=True,
        ),
        request_validation_options=GrpcJsonTranscoderRequestValidationOptions(reject_unknown_query_parameters=True),
    )


def _filter(name: str, config: betterproto2.Message, *, disabled: bool = False) -> HttpFilter:
    return HttpFilter(name=name, typed_config=packed(config), disabled=disabled)
