#!/bin/bash
# Installs what is needed and missing, and says what it does. Everything there: it does nothing, without the network.
#
#   tools/deps.sh          for everything: building, running, testing
#   tools/deps.sh build    for building and running alone, so neither Java nor Maven
#   tools/deps.sh packages for building, and for packing and trying Debian packages
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}

need() { # command, what it is called, what it is for
    command -v "$1" >/dev/null || { echo "$2 is missing ($1): it is needed $3; install it first" >&2; exit 1; }
}
need "${CARGO:-cargo}" "Rust 1.85 or later" "to build"
packages=(nginx nginx-dev libzmq3-dev libclang-dev libssl-dev pkg-config g++ make curl kcat)
if [ "$what" = all ]; then
    need java "Java 17" "by the tests, which run a real Kafka"
    need mvn "Maven" "to fetch the Kafka that the tests run"
    need node "Node" "by the browser's side of the tests"
    need python3 "Python 3" "by the examples and the tests"
    # Chromium is 80 MB to fetch, and fills 560 MB with what it needs. Nagios wants something that sends mail; msmtp is
    # the smallest.
    packages+=(python3 python3-pip python3-zmq wrk nghttp2-client perl openssl chromium zstd valgrind prometheus nagios4-core rsyslog msmtp-mta
        ganglia-monitor)
    # Debian's nodejs comes without it, others with it.
    command -v npm >/dev/null || packages+=(npm)
    # What reads the pages, the completions and the unit.
    packages+=(mandoc zsh fish systemd)
fi
if [ "$what" = packages ]; then
    packages+=(debhelper dpkg-dev fakeroot lintian debootstrap rpm rpmlint binutils)
fi

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing from Debian: ${missing[*]}"
    root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "not root, and no sudo: install them as root" >&2; exit 1; }
        root=(sudo)
    fi
    # A package that is installed must not start its service, now or when the machine is booted: port 80 is not ours. What
    # ran before runs on, and what was enabled stays so.
    enabled() {
        command -v systemctl >/dev/null || return 0
        systemctl --root=/ list-unit-files --type=service --state=enabled --no-legend 2>/dev/null | cut -d' ' -f1 | sort || true
    }
    booted=$(command -v systemctl || true)
    before=$(enabled)
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
        "${root[@]}" chmod 0755 $policy
        trap '"${root[@]}" rm -f $policy' EXIT
    fi
    install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}")
    { "${root[@]}" apt-get update -qq && "${install[@]}"; } >build-deps.log 2>&1 ||
        { tail -20 build-deps.log >&2; rm -f build-deps.log; echo "apt-get could not install them" >&2; exit 1; }
    rm -f build-deps.log
    for service in $(comm -13 <(echo "$before") <(enabled)); do
        [ -z "$booted" ] || "${root[@]}" systemctl --root=/ --quiet disable "$service"
    done
fi
[ "$what" = all ] || exit 0

"${CARGO:-cargo}" fetch --locked --quiet

# Kafka, as Maven Central has it; the second time from Maven's own cache.
libs=build/kafka/libs
if [ ! -e "$libs/.complete" ] || [ t/kafka/pom.xml -nt "$libs/.complete" ]; then
    echo "fetching Kafka's jars into $libs"
    rm -rf "$libs"
    mkdir -p "$libs"
    copy=(-q -B -f t/kafka/pom.xml dependency:copy-dependencies "-DoutputDirectory=$PWD/$libs")
    export MAVEN_OPTS="${MAVEN_OPTS:-} -XX:-UsePerfData" # which would leave a directory in /tmp
    mvn -o "${copy[@]}" >/dev/null 2>&1 || mvn "${copy[@]}"
    touch "$libs/.complete"
fi

# What the tests send with, as PyPI and npm have it; the second time, or without the network, from what was fetched before.
senders=build/senders
if ! cat t/senders/{requirements.txt,package-lock.json} | cmp -s - "$senders/.complete"; then
    echo "fetching the SDKs that the tests send with into $senders"
    rm -rf "$senders"
    mkdir -p "$senders"
    wheels=${XDG_CACHE_HOME:-$HOME/.cache}/sparkngin/wheels
    pip=(/usr/bin/python3 -m pip --quiet --disable-pip-version-check)
    what=(--no-deps --only-binary :all: -r t/senders/requirements.txt)
    from=("${pip[@]}" install --root-user-action ignore --no-compile --no-index --find-links "$wheels" --target "$senders" "${what[@]}")
    "${from[@]}" >/dev/null 2>&1 || { "${pip[@]}" download --dest "$wheels" "${what[@]}" && "${from[@]}"; }
    cp t/senders/package.json t/senders/package-lock.json "$senders"
    npm=(npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$senders")
    "${npm[@]}" --offline >/dev/null 2>&1 || "${npm[@]}"
    cat t/senders/{requirements.txt,package-lock.json} >"$senders/.complete"
fi
