#!/bin/sh
# Installs what the tests need besides Python: PostgreSQL, Redis and Chromium. Only as root with apt-get;
# elsewhere it names what is missing, and the tests that need it say so themselves.
set -eu

say() { echo "services: $*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }
has_postgres() { has postgres && has initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
has_chromium() { has chromium || has chromium-browser || has google-chrome; }

missing=
[ -n "${TEST_DATABASE_URL:-}" ] || has_postgres || missing="$missing postgresql"
[ -n "${TEST_REDIS_URL:-}" ] || has redis-server || missing="$missing redis-server"
has_chromium || missing="$missing chromium"
[ -n "$missing" ] || exit 0

if ! has apt-get || [ "$(id -u)" != 0 ]; then
    say "not here:$missing; the tests that need them will say so (as root on Debian they are installed)"
    exit 0
fi

# The packages would start their servers and make a cluster; the tests run their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

install() {
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
}

say "installing$missing"
install || { apt-get update -qq >&2 && install; } || say "could not install$missing"
