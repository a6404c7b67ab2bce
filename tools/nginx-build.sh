#!/bin/bash
# Configures a copy of nginx's source under OUTDIR, as the module needs it to be compiled: nothing of nginx is built.
# Prints two lines, NGINX_SOURCE_DIR=... and NGINX_BUILD_DIR=..., to be exported for cargo.
#
#   tools/nginx-build.sh OUTDIR
#
# A module fits exactly one version of nginx. By default that is the distribution's: the package nginx-dev carries the
# source and the flags. NGINX_SOURCE_DIR (a source tree) chooses another; with NGINX_BUILD_DIR as well (a tree that
# is configured already) both are printed as they are. Run again it does nothing, unless source or flags have changed.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 OUTDIR" >&2; exit 2; }

report() {
    printf 'NGINX_SOURCE_DIR=%s\nNGINX_BUILD_DIR=%s\n' "$1" "$2"
}

if [ -n "${NGINX_BUILD_DIR:-}" ]; then
    built=$(realpath "$NGINX_BUILD_DIR")
    [ -f "$built/ngx_auto_config.h" ] || { echo "NGINX_BUILD_DIR=$built: not configured" >&2; exit 2; }
    report "$(realpath "${NGINX_SOURCE_DIR:-$built/..}")" "$built"
    exit
fi

from=${NGINX_SOURCE_DIR:-/usr/share/nginx/src}
header=$from/src/core/nginx.h
[ -f "$header" ] || { echo "no nginx source in $from: install nginx-dev or set NGINX_SOURCE_DIR" >&2; exit 2; }
from=$(realpath "$from")
version=$(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$header")

# Upstream's tree has no conf_flags; a module that is only --with-compat loads into an nginx that is.
NGX_CONF_FLAGS=(--with-compat)
if [ -f "$from/conf_flags" ]; then
    . "$from/conf_flags"
fi

mkdir -p "$1"
tree=$(realpath "$1")/nginx-$version
stamp=$(printf '%s\n' "$from" "$tree" "${NGX_CONF_FLAGS[@]}"; sha256sum "$header" | cut -d' ' -f1)
if [ "$(cat "$tree/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -r "$from/." "$tree/"
    chmod -R u+w "$tree"
    configure=./configure
    [ -x "$tree/configure" ] || configure=./auto/configure
    (cd "$tree" && "$configure" "${NGX_CONF_FLAGS[@]}" --builddir="$tree/objs") >"$tree/configure.log" 2>&1 ||
        { tail -20 "$tree/configure.log" >&2; echo "nginx $version: configure failed" >&2; exit 1; }
    printf '%s\n' "$stamp" >"$tree/stamp"
fi
report "$tree" "$tree/objs"
