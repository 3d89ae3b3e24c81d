"""The name under which tritonclient's messages are pickled when Ray hands them from its proxy to a replica."""

from tritonclient.grpc.service_pb2 import *  # noqa: F403
