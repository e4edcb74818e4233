#!/bin/sh
# Installs the Debian packages that Vigil needs and that are missing; does nothing when none is.
#
#   scripts/install-deps.sh                  all: build, tests, format and lint checks
#   scripts/install-deps.sh --runtime-only   only what building and running the programs takes
#   scripts/install-deps.sh --peers          that, and what bench/compare.sh measures beside Vigil
#
# Works from a bare Debian 12: it needs dpkg and apt-get, and root or sudo if something is missing.
set -eu

# "a|b" is satisfied by either; the first one that apt knows is installed (msgpack-c changed its name).
build_packages='gcc libc6-dev cmake ninja-build pkg-config|pkgconf
    libzmq3-dev libmsgpack-dev|libmsgpack-c-dev liblmdb-dev liblua5.4-dev libjq-dev libonig-dev
    libjson-c-dev'
check_packages='g++ git jq procps libcmocka-dev clang libclang-rt-dev clang-format clang-tidy cppcheck spin
    shellcheck valgrind'
peer_packages='jq gnuplot-nox redis-server nats-server etcd-server libhiredis-dev libnats-dev
    libnghttp2-dev'

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0"
}

case "${1---all}" in
--all) wanted="$build_packages $check_packages" ;;
--runtime-only) wanted=$build_packages ;;
--peers) wanted="$build_packages $peer_packages" ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    echo "install-deps: unknown option '$1'" >&2
    usage >&2
    exit 2
    ;;
esac

is_installed() {
    dpkg-query -W -f='${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

missing_of() {
    for entry in "$@"; do
        found=no
        for package in $(echo "$entry" | tr '|' ' '); do
            if is_installed "$package"; then
                found=yes
                break
            fi
        done
        [ "$found" = yes ] || echo "$entry"
    done
}

give_up() {
    echo "install-deps: $1" >&2
    echo "install-deps: still missing: $(echo "$missing" | tr '\n' ' ')" >&2
    exit 1
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "install-deps: this is no Debian system, so nothing is installed here. Vigil needs a C11" >&2
    echo "compiler, CMake 3.25, Ninja, pkg-config and the development files of ZeroMQ, msgpack-c," >&2
    echo "LMDB, Lua 5.4, libjq, Oniguruma and json-c; its checks cmocka, clang, clang-format 14," >&2
    echo "clang-tidy, cppcheck, shellcheck, valgrind and jq." >&2
    exit 1
fi

# shellcheck disable=SC2086  # a list of words, on purpose, here and below
missing=$(missing_of $wanted)
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null 2>&1 || give_up "apt-get is not on the PATH"
as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || give_up "run it as root, or install sudo"
    as_root=sudo
fi

apt() {
    # env, because sudo drops the caller's environment.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

echo "install-deps: installing $(echo "$missing" | tr '\n' ' ')"
# An old package list may still do, so a failed update is not the end yet.
apt update || echo "install-deps: 'apt-get update' failed; going on with the lists that are there" >&2

chosen=
for entry in $missing; do
    choice=
    for package in $(echo "$entry" | tr '|' ' '); do
        if apt-cache show "$package" >/dev/null 2>&1; then
            choice=$package
            break
        fi
    done
    [ -n "$choice" ] || give_up "apt knows no package '$entry' (is the network up, is this Debian 12?)"
    chosen="$chosen $choice"
done

# shellcheck disable=SC2086
apt install --no-install-recommends $chosen || give_up "apt-get could not install$chosen"

# shellcheck disable=SC2086
missing=$(missing_of $wanted)
[ -z "$missing" ] || give_up "apt-get said that it succeeded, and yet"
