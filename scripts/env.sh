#!/bin/sh
# Writes .env from .env.example: the secrets of the gateway's own are made up, values that .env has are kept.
#   scripts/env.sh [FILE]
set -eu
cd "$(dirname "$0")/.."
file=${1:-.env}

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

fresh() {
    case $1 in
        SECRET_KEY | OPENWEBUI_JWT_SECRET) random 32 ;;
        POSTGRES_PASSWORD) random 16 ;;
        SWITCHYARD_MASTER_KEY) echo "sk-$(random 24)" ;;
    esac
}

umask 077
[ -e "$file" ] || cp .env.example "$file"
chmod 600 "$file"
[ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
for name in $(sed -n 's/^\([A-Z_]*\)=.*/\1/p' .env.example); do
    if ! grep -q "^$name=" "$file"; then
        grep "^$name=" .env.example >>"$file"
    fi
    value=$(fresh "$name")
    [ -z "$value" ] || sed -i.before "s/^$name=[[:space:]]*\$/$name=$value/" "$file"
done
rm -f "$file.before"
echo "env: $file is ready; the provider keys in it are yours to fill in" >&2
