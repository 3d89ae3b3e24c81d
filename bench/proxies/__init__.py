"""Yardsticks: the least that a grpc.aio proxy can be."""
