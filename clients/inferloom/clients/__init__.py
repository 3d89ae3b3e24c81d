"""Clients of the mesh, or of any server that answers the Open Inference Protocol v2 over gRPC. See `inferloom.sdk`."""
