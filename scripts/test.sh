#!/usr/bin/env bash
# The one test command. Installs what is missing, then:
#   format -> build and suite under AddressSanitizer and UBSan -> lint -> release build and suite
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

build_and_test() {
    step "$1: build"
    cmake --preset "$1"
    cmake --build --preset "$1"
    step "$1: suite"
    ctest --preset "$1"
}

build_and_test asan

step "lint"
scripts/lint.sh shell cppcheck tidy

build_and_test release
