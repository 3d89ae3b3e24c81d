"""The Open Inference Protocol v2 over REST, with Triton's extensions: for hosts, and for a router's HTTP port."""
