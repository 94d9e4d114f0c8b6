# What people and `.ci/run` do, each by its name. Needs just; every recipe is one command that works without it, too.

set shell := ["bash", "-euo", "pipefail", "-c"]

# What the recipes below try: a release build, which they make, unless PROGRAM names one that is there.
release := env("CARGO_TARGET_DIR", "target") / "release/flowlord"
program := env("PROGRAM", release)
# As README says it.
demo_command := if program == release { "cargo run --release -- demo" } else { quote(program) + " demo" }

# List the recipes.
default:
    @just --list --unsorted

# See it run: example workflows and workers on a fresh data folder.
demo:
    cargo run --release -- demo

# Compile everything, tests included.
check:
    cargo check --workspace --all-targets --locked

# Run every test; those that need a program which isn't there say so.
test *args:
    cargo test --workspace {{ args }}

# The tests of the crate graph alone.
architecture:
    cargo test --locked --test it architecture

# Format the code.
fmt:
    cargo fmt --all

# Fail where the code isn't formatted.
fmt-check:
    cargo fmt --all --check

# Clippy; every warning fails.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# The crates' documents; every warning fails.
doc:
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

# Spelling, with the exceptions of _typos.toml.
typos:
    typos

# Unused dependencies.
machete:
    cargo machete

# Licences, banned crates, sources and advisories, by cargo-deny. The tests check all but the advisories, which need the
# network.
deny:
    cargo deny --log-level error check

# Syntax of the scripts, without running them.
scripts:
    bash -n examples/workers/*.sh .ci/run .ci/schemathesis fuzz/run tests/browser/run tests/clients/run tests/upgrade/run \
      examples/clients/generate packaging/dist packaging/check
    for script in .ci/instructions .ci/smoke tests/container/run tests/helm/run tests/browser/*.py; do \
      python3 -c 'import sys; compile(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1], "exec")' "$script"; \
    done

# The Python package of workers, against a fake service.
python-worker:
    python3 -B -m unittest discover -s examples/workers/python/tests

# Sizes, names and words against the goals, where the tool that measures them is there.
shape:
    if [ -x ../shared/tools/shape ]; then ../shared/tools/shape --check; else echo "there is no ../shared/tools/shape"; fi

# Change the domain's code in many places and see whether its tests notice. Needs cargo-mutants; takes hours.
mutants *args:
    cargo mutants -p flowlord-domain {{ args }}

# The program that a first run builds.
build:
    {{ if program == release { "cargo build --release --locked --bin flowlord" } else { "test -x " + quote(program) } }}

# Measure a release build, for example `just bench load`; `just bench cluster --rounds 100 --seed 1 --place folder` kills
# leaders of a cluster.
bench *args: build
    cargo run --release --locked -p flowlord-bench -- {{ args }}

# Count the instructions of a cycle, and fail where they are over 5 % more than the figure that is kept; with --update
# they become that figure.
instructions *args: build
    .ci/instructions {{ quote(program) }} {{ args }}

# Run each fuzz target for so many seconds.
fuzz seconds="60":
    fuzz/run {{ seconds }}

# The program as the README shows it.
smoke: build
    .ci/smoke {{ quote(demo_command) }} {{ quote(program) }}

# Requests that the OpenAPI document allows, and others.
schemathesis: build
    .ci/schemathesis {{ quote(program) }}

# The pages in a real browser.
browser: build
    tests/browser/run {{ quote(program) }}

# Clients made from the OpenAPI document, each with a worker that does a task; the Python package, too.
clients: build
    tests/clients/run {{ quote(program) }}

# The chart, rendered by helm; the program reads the configuration of its pods.
helm: build
    tests/helm/run {{ quote(program) }}

# Build the image and test it.
image *args:
    tests/container/run {{ args }}

# Archives of a release in dist/, of a program that starts on any Linux: `just dist x86_64 aarch64`.
dist *args:
    packaging/dist {{ args }}

# The Debian package, in dist/, too. Needs cargo-deb.
deb *args:
    packaging/dist --deb {{ args }}

# Make the archive and the Debian package of the program that a first run builds, and install both.
packages: build
    packaging/check {{ quote(program) }}

# Everything, as it is checked before a change lands.
ci:
    .ci/run
