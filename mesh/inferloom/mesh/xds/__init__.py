"""The control plane of an Envoy edge: catalog and policies compiled to xDS, and served. Needs the extra `edge`."""
