# Each target does its own set-up; what is there already is not done again.
.DEFAULT_GOAL := help
VENV := .venv/bin
GATEWAY ?= python
PROTOS := $(wildcard protos/inferloom/v1/*.proto)

.PHONY: help setup demo test unit lint gen reference site bench bench-peers clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: ## virtual environment, pins and the Triton runtime (in the user's cache)
	@scripts/setup

demo: ## handwritten digits through the mesh, one Triton killed and one frozen; GATEWAY=envoy: with Envoy in front
	@scripts/setup $(if $(filter envoy,$(GATEWAY)),edge)
	@$(VENV)/python examples/digits/demo.py --gateway $(GATEWAY)

test: ## all tests, on real Triton and Consul
	@scripts/setup test
	$(VENV)/python -m pytest -n 4 --dist loadfile

unit: ## the unit tests alone: no network, seconds
	@scripts/setup dev
	$(VENV)/python -m pytest tests/unit

lint: ## ruff, mypy, and whether the generated code is what the protos say
	@scripts/setup dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	@$(MAKE) -s gen
	@drift=$$(git status --porcelain -- protos); [ -z "$$drift" ] || { echo "generated code differs: run make gen and commit"; echo "$$drift"; exit 1; }

gen: ## the Python code of the protos
	@scripts/setup dev
	cd protos && ../$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. $(PROTOS:protos/%=%)

reference: ## docs/reference, from the code
	@scripts/setup dev
	$(VENV)/python -m reference

site: ## the documentation as a site, in site/
	@scripts/setup dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

bench: ## requests per second, CPU and memory beside yardsticks
	@scripts/setup bench
	$(VENV)/python -m bench

bench-peers: ## the same pipeline and ensemble through Ray Serve, which gets an environment of its own (half a gigabyte)
	@scripts/setup bench
	$(VENV)/python -m bench.peers

clean: ## what the targets above have made here (not the user's cache)
	rm -rf .venv dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
