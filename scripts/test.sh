#!/usr/bin/env bash
# The one test command. Installs what is missing, then:
#   format -> build and suite under AddressSanitizer and UBSan, lint beside it -> release build and suite
# Warnings are errors in both builds. It stops at the first step that fails; what it prints last is
# the summary of the last suite.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n==> %s\n' "$*"
}

step "dependencies"
scripts/install-deps.sh --all

step "format"
scripts/lint.sh format

build() {
    step "$1: build"
    cmake --preset "$1"
    cmake --build --preset "$1"
}

suite() {
    step "$1: suite"
    ctest --preset "$1"
}

# Tests wait more than they work: lint takes what they leave of the processors, and speaks after them.
lint_log=$(mktemp "${TMPDIR:-/tmp}/vigil-lint.XXXXXX")
lint_group=
end_lint() {
    [[ -z $lint_group ]] || kill -- "-$lint_group" 2>/dev/null || true
    rm -f "$lint_log"
}
trap end_lint EXIT

begin_lint() {
    setsid nice -n 19 scripts/lint.sh shell cppcheck tidy >"$lint_log" 2>&1 &
    lint_group=$!
}

finish_lint() {
    step "lint"
    local code=0
    wait "$lint_group" || code=$?
    lint_group=
    cat "$lint_log"
    return "$code"
}

build asan
begin_lint
suite asan
finish_lint
build release
suite release
