# Everything is built below build/ and target/; `make run` keeps its ring below run/.

SHELL := /bin/bash
CARGO ?= cargo
PORT ?= 8080
LIVE_PORT ?= 7000
MOCK_PORT ?= 9092
KAFKA ?=
NGINX_SOURCE_DIR ?=
NGINX_BUILD_DIR ?=
export MOCK_PORT NGINX_SOURCE_DIR NGINX_BUILD_DIR CARGO

TARGET := $(or $(CARGO_TARGET_DIR),target)
MODULE := build/ngx_http_sparkngin_module.so
PROGRAM := build/sparkngin
PAGES := build/share

.DEFAULT_GOAL := help
.PHONY: help deps build module program pages deb rpm tarball test-packages issuer copier client check test run bench campaign clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 15
	@echo
	@echo 'Variables: PORT=$(PORT) LIVE_PORT=$(LIVE_PORT) KAFKA=host:port (run); NGINX_SOURCE_DIR, NGINX_BUILD_DIR (build);'
	@echo 'SEED=n LINES=file T="t/log.t ..." NGINX=1.28 (test)'

deps: ## Install the Debian packages that are missing, fetch the crates, Kafka's jars and the tests' SDKs; 3 min when nothing is there
	tools/deps.sh

build: module program pages ## Build the module, the program, man pages and completions below build/; 6 min when nothing is there

module:
	@tools/deps.sh build
	set -e; vars=$$(tools/nginx-build.sh build); export $$vars; \
	$(CARGO) build --locked --release --package sparkngin
	@mkdir -p build
	install -m 0644 $(TARGET)/release/libngx_http_sparkngin_module.so $(MODULE).new && mv $(MODULE).new $(MODULE)

program:
	@tools/deps.sh build
	$(CARGO) build --locked --release --package sparkngin-subscriber
	@mkdir -p build
	install -m 0755 $(TARGET)/release/sparkngin $(PROGRAM).new && mv $(PROGRAM).new $(PROGRAM)

pages:
	@tools/deps.sh build
	$(CARGO) build --locked --release --package sparkngin-pages
	@rm -rf $(PAGES).new
	$(TARGET)/release/pages $(PAGES).new "$$(date -u -d "@$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)}" +%F)"
	@rm -rf $(PAGES) && mv $(PAGES).new $(PAGES)

deb: build ## Pack Debian packages into build/deb, for the installed nginx; 1 min once built
	@tools/deps.sh packages
	tools/deb

rpm: build ## Pack RPMs into build/rpm, with Fedora's paths; for the nginx and the libraries that it was built with
	@tools/deps.sh packages
	tools/rpm

tarball: build ## Pack what runs where it is unpacked, by ./run.sh, into build/tar
	tools/tarball

test-packages: deb rpm tarball issuer ## Install, upgrade under load, remove and purge the packages in a Debian root of their own, boot it, follow docs/guide.md there; 8 min
	prove -It/lib t/packages

issuer:
	@tools/deps.sh build
	$(CARGO) build --locked --release --package sparkngin-issuer
	@mkdir -p build
	install -m 0755 $(TARGET)/release/issuer build/issuer.new && mv build/issuer.new build/issuer

copier:
	@tools/deps.sh build
	$(CARGO) build --locked --release --package sparkngin-copier
	@mkdir -p build
	install -m 0755 $(TARGET)/release/copier build/copier.new && mv build/copier.new build/copier

client:
	@tools/deps.sh build
	$(CARGO) build --locked --release --package sparkngin-client --example send_events
	@mkdir -p build
	install -m 0755 $(TARGET)/release/examples/send_events build/send_events.new && mv build/send_events.new build/send_events

check: ## Look at the sources alone: format, clippy, the arrows between files, sleeps, README against code; 3 min cold
	@tools/deps.sh build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	set -e; vars=$$(tools/nginx-build.sh build); export $$vars; \
	$(CARGO) clippy --locked --package sparkngin -- -D warnings
	tools/check

test: deps build issuer copier client ## Test everything, with a real nginx, ZeroMQ and Kafka; 9 min once built. SEED=n repeats a run, T=files chooses, NGINX=1.28 another nginx
	$(if $(NGINX),tools/with-nginx $(NGINX),tools/test) $(T)

run: ## Collect events at 127.0.0.1:8080 and see them in Kafka: an embedded one, or KAFKA=host:port. PORT=n LIVE_PORT=n
	@tools/deps.sh build
	@test -x $(PROGRAM) -a -f $(MODULE) || $(MAKE) --no-print-directory build
	@exec tools/run.sh "$(PORT)" "$(LIVE_PORT)" "$(KAFKA)"

.PHONY: instructions
instructions: deps ## Count instructions an event of the hot functions, compare with their budgets; 20 s once built. WRITE=1 sets these
	tools/instructions

bench: deps build issuer ## Measure rates, CPU an event and latency beside nginx's own empty reply; 4 min. BENCH="w1 ack ..." chooses, WRITE=1 keeps
	tools/bench

campaign: deps build issuer copier ## Strike every fault at its full count, write docs/proof.md; hours, resumes. ROW=n COUNT=m repeats one
	tools/campaign

clean: ## Remove what was built, and nothing else
	rm -rf build target
