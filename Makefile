# `make` lists the targets. Each one installs what it needs first (tools/setup).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Two cargo commands at once only wait for each other, and the tests measure time.
.NOTPARALLEL:
# cargo would take the -j of make for its own job server, and warn that it cannot reach it.
unexport MAKEFLAGS MFLAGS

# Where cargo builds: absolute, since tests run in other directories.
BUILT := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug

# Builds programs of these packages. Where everything is built in any case, as in `make test`, it is built as
# `cargo test` does: other features of what they share would have that built once more for each of these.
build = cargo build --locked $(if $(BUILD_ALL),--workspace --bins --tests,$(1))

# What hangs is to fail, and not to look slow. Each file of tests is one for this, too.
TEST_TIMEOUT := --test-timeout=180000

.PHONY: help
help: ## list the targets
	@awk -F ' *## *' '/^[a-z-]+:.*## / { sub(/:.*/, "", $$1); printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The page of an example, built from its sources when one of them is newer.
page = examples/$(1)/web/dist/index.html
$(call page,collab): examples/collab/form.json
$(foreach name,collab social,$(eval $(call page,$(name)): $(wildcard $(addprefix examples/$(name)/web/,*.* src/* public/*))))
examples/%/web/dist/index.html:
	@tools/setup pages
	cd examples/$*/web && npm run --silent build
	@touch $@

.PHONY: run chat collab forum social satellites
run: ## start the hub for development, with the client that it serves
	@tools/setup client
	cargo run -p roomful-hub -- dev

chat: ## start the chat example, with the client for its page
	@tools/setup client
	cargo run -p roomful-examples --bin chat

collab: $(call page,collab) ## start the example of a form that many people edit at the same time
	cargo run -p example-collab --bin collab

forum: ## start the example of plain pages, and what of them is real time
	@tools/setup client
	cargo run -p example-forum --bin forum

social: $(call page,social) ## start the example of a social network
	cargo run -p example-social --bin social

satellites: ## start the example of a hub and programs around it
	@tools/setup satellites
	cargo run -p example-satellites --bin satellites

.PHONY: test lint test-rust doc
test: ## run all the checks and tests below, up to bench-instructions
	@tools/test

lint: ## rooms of the server, formatting, clippy (warnings are errors), and what the pages of docs name
	tools/check-rooms
	tools/check-compatibility
	tools/check-deploy
	tools/check-security
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@# The storm is a target that no such command names.
	cargo clippy --workspace --test storm --locked -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --locked -- -D warnings

doc: ## build the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

test-rust: ## unit, integration and documentation tests
	@tools/setup client
	@tools/setup postgres
	BUNDLE_REQUIRED=1 cargo test --workspace --locked
	tools/test-cluster 2
	tools/test-cluster 3

.PHONY: storm-short simulate test-interop test-interop-nodes test-no-sticky test-cluster chaos-short chaos cost-cluster test-matrix test-client test-client-site test-proxies-short test-hub test-browser test-examples autobahn-core fuzz-seeds bench-instructions
storm-short: ## thousands of clients that come, are cut and come back; nothing of them may be left
	cargo test --locked $(if $(BUILD_ALL),--workspace,-p roomful) --test storm

# A thousand of them are tests like others.
simulate: ## replay one simulated cluster: make simulate SEED=17
	SEED=$(SEED) cargo test --locked -p roomful-proto --test simulate replay

test-interop: ## our server against the official JavaScript client
	@tools/setup interop
	$(call build,-p roomful-interop --bin fixture --bin drain)
	cd interop/node && SERVER="$(BUILT)/fixture" node --test $(TEST_TIMEOUT) --test-concurrency=1 test/*.test.mjs
	cd interop/node && SERVER="$(BUILT)/drain" node --test $(TEST_TIMEOUT) drain/

test-interop-nodes: ## the same over two nodes of one process, with the clients spread over them
	@tools/setup interop
	$(call build,-p roomful-interop --bin fixture)
	cd interop/node && NODES=2 SERVER="$(BUILT)/fixture" node --test $(TEST_TIMEOUT) --test-concurrency=1 test/*.test.mjs

test-no-sticky: ## the same over three nodes behind nginx, each request at the next of them
	@tools/setup cluster
	@tools/setup proxies
	$(call build,-p roomful-interop --bin fixture)
	cd interop/node && SERVER="$(BUILT)/fixture" node no-sticky/run.mjs

test-cluster: ## many nodes as one: ours, and official servers beside them, on Redis, PostgreSQL and NATS
	@tools/setup cluster
	$(call build,-p roomful-interop --bin cluster-node)
	node interop/cluster/with-engines.mjs cargo test --locked $(if $(BUILD_ALL),--workspace,-p roomful-cluster --all-features) \
		--test away --test channels --test conformance --test nats_setups --test redis_setups --test sessions --test tls -- --include-ignored
	cd interop/cluster && SERVER="$(BUILT)/cluster-node" node run.mjs
	cd interop/cluster && SERVER="$(BUILT)/cluster-node" node --test $(TEST_TIMEOUT) --test-concurrency=1 recovery/ migration/

chaos-short: ## a cluster whose nodes and engines die, short: 40 clients, two engines, a fifth of a minute for each
	@tools/setup cluster
	$(call build,-p roomful-interop --bin cluster-node)
	cd interop/cluster && SERVER="$(BUILT)/cluster-node" node chaos.mjs --short --recovery --clients 40 --engine redis,streams --seed $(or $(SEED),1)

chaos: ## a cluster whose nodes and engines die: 300 clients on four nodes, a minute for each engine
	@tools/setup cluster
	cargo build --locked --release -p roomful-interop --bin cluster-node
	cd interop/cluster && SERVER="$(dir $(BUILT))release/cluster-node" node chaos.mjs --recovery $(if $(SEED),--seed $(SEED))

cost-cluster: ## what a node of a cluster pays for each event, beside the official adapters
	@tools/setup cluster
	cargo build --locked --release -p roomful-interop --bin cluster-node
	SERVER=target/release/cluster-node node bench/cluster/cost.mjs

test-matrix: ## our server against every generation of that client, and those for Python
	@tools/setup matrix
	@tools/setup python
	$(call build,-p roomful-interop --bin fixture)
	cd interop/node/matrix && SERVER="$(BUILT)/fixture" node run.mjs
	SERVER="$(BUILT)/fixture" target/python-venv/bin/python -B interop/python/run.py

test-client: ## our client, and that on the command line, against the official servers, Bun, Python and ours
	@tools/setup client-interop
	$(call build,-p roomful-interop -p roomful-judge -p roomful-hub --bin site --bin judge --bin roomful)
	SITE="$(BUILT)/site" "$(BUILT)/judge"
	cd interop/client && ROOMFUL="$(BUILT)/roomful" node --test $(TEST_TIMEOUT) check-command.mjs

test-client-site: ## the servers that judge our client, against the official clients
	@tools/setup client-interop
	$(call build,-p roomful-interop --bin site)
	cd interop/client && SITE="$(BUILT)/site" node --test $(TEST_TIMEOUT) check.mjs check-outside.mjs

test-proxies-short: ## our server behind nginx, HAProxy, Caddy and Apache, with the official client
	@tools/setup cluster
	@tools/setup proxies
	$(call build,-p roomful-interop --bin fixture)
	cd interop/proxies && SERVER="$(BUILT)/fixture" node run.mjs --short

test-hub: ## the hub's own events, asked with the official client, and its client with the official server
	@tools/setup interop
	$(call build,-p roomful-hub)
	cd interop/node && ROOMFUL="$(BUILT)/roomful" ../../tools/with-hub node --test $(TEST_TIMEOUT) hub/

autobahn-core: ## our WebSocket codec against the Autobahn suite, 1-7 and 10, some of 12 and 13
	@tools/setup autobahn
	$(call build,-p roomful-interop --bin ws-echo)
	interop/autobahn/judge core --count 20

test-browser: ## our hub and every transport in a real browser
	@tools/setup client
	@tools/setup interop
	@tools/setup browser
	$(call build,-p roomful-hub -p roomful-interop --bin roomful --bin fixture)
	cd interop/browser && ../../tools/with-hub node --test $(TEST_TIMEOUT) playground.test.mjs
	cd interop/browser && SERVER="$(BUILT)/fixture" node --test $(TEST_TIMEOUT) transports.test.mjs

# Ten browsers that write at the same time, and servers that are killed, take two minutes on a slow machine.
test-examples: $(call page,collab) $(call page,social) ## the example applications in a real browser, and with the official client
	@tools/setup client
	@tools/setup browser
	@tools/setup examples
	$(call build,-p roomful-examples -p example-collab -p example-forum -p example-satellites -p example-social --bins)
	cd examples/tests/web && BIN_DIR="$(BUILT)" node --test --test-timeout=400000 --test-concurrency=1

fuzz-seeds: ## build the fuzz targets, and run each on its seeds and 20,000 mutations of them
	@tools/setup fuzz
	cargo test --manifest-path fuzz/Cargo.toml --locked

bench-instructions: ## instructions of the hot paths, beside the previous figures
	@tools/bench-instructions

.PHONY: bench bench-full bench-clients bench-outside amplification
bench: ## measure Roomful beside its peers, in some minutes
	@tools/bench short

bench-full: ## measure everything, for more than an hour; writes bench/RESULTS.md
	@tools/bench full

bench-clients: ## measure clients beside each other, in ten minutes
	@tools/bench-clients

bench-outside: ## measure the servers with Tsung instead, a load tool that is not ours
	@tools/bench-outside

.PHONY: fuzz storm
fuzz: ## run each fuzz target for a minute, or for the seconds of TIME=
	@tools/fuzz "$(or $(TIME),60)"

# New waves of clients begin for so long.
storm: ## the same with thousands at once, for five minutes: make storm TIME=600 SEED=7
	ulimit -n "$$(ulimit -Hn)" && cargo test --release --locked -p roomful --test storm -- \
	    --clients 10000 --at-once 2500 --time $(or $(TIME),300) $(if $(SEED),--seed $(SEED)) --json

amplification: ## measure what a byte of an attacker costs, in some minutes; writes docs/security.md
	@tools/setup client
	cargo build --release --locked -p roomful-bench --bin bench --bin victim --bin victim-malloc
	$(dir $(BUILT))release/bench amplification --page docs/security.md

.PHONY: test-proxies interop-reference autobahn autobahn-deflate deny packages clean
test-proxies: ## our server behind more proxies than in make test, and for longer than they wait
	@tools/setup cluster
	@tools/setup proxies
	$(call build,-p roomful-interop --bin fixture)
	cd interop/proxies && SERVER="$(BUILT)/fixture" node run.mjs

interop-reference: ## the tests of test-interop, test-matrix and test-proxies against the official server
	@tools/setup interop
	@tools/setup matrix
	@tools/setup proxies
	cd interop/node && env -u SERVER node --test $(TEST_TIMEOUT) --test-concurrency=1 test/*.test.mjs
	cd interop/node/matrix && env -u SERVER node run.mjs
	cd interop/proxies && env -u SERVER node run.mjs

autobahn: ## Autobahn with large messages: 1-7, 9 and 10
	@tools/setup autobahn
	$(call build,-p roomful-interop --bin ws-echo)
	interop/autobahn/judge

autobahn-deflate: ## Autobahn with compression: all of 12 and 13, for some minutes
	@tools/setup autobahn
	$(call build,-p roomful-interop --bin ws-echo)
	interop/autobahn/judge deflate

deny: ## licences, advisories and sources of the dependencies
	@cargo deny --version >/dev/null 2>&1 || \
	    { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check

packages: ## pack what is published, and build each crate from what was packed
	@tools/setup client
	tools/check-packages

clean: ## remove all that was built or installed here
	rm -rf target fuzz/target
	rm -rf crates/server/bundle/node_modules interop/browser/node_modules
	rm -rf interop/node/node_modules interop/node/matrix/node_modules interop/client/node_modules
