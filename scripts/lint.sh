#!/usr/bin/env bash
# Format and lint checks over every C file and script of the tree (tracked, or new and not ignored).
#
#   scripts/lint.sh [format] [shell] [cppcheck] [tidy]     no argument: all of them
#   scripts/lint.sh fix                                    lets clang-format rewrite the files
#
# tidy reads the compile commands of build/asan, which scripts/test.sh makes, or of
# VIGIL_COMPILE_COMMANDS_DIR. A check that would look at no file fails.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=2

# The versions that CI has: formatting differs between releases.
readonly clang_format_major=14

fail() {
    echo "lint: $*" >&2
    exit 1
}

# Fills the array `files` with the files that match the patterns.
select_files() {
    mapfile -d '' -t files < <(git ls-files -z --cached --others --exclude-standard -- "$@" |
        while IFS= read -r -d '' file; do
            [[ -f $file ]] && printf '%s\0' "$file"
        done)
    ((${#files[@]} > 0)) || fail "no file matches $* (is this a git work tree?)"
}

run_on_files() {
    printf '%s\0' "${files[@]}" | xargs -0 "$@"
}

clang_format() {
    local program=clang-format
    command -v "clang-format-$clang_format_major" >/dev/null && program=clang-format-$clang_format_major
    "$program" --version | grep -q "version $clang_format_major\." ||
        fail "needs clang-format $clang_format_major, found: $("$program" --version)"
    run_on_files -P "$jobs" -n 64 "$program" "$@"
}

check_format() {
    select_files '*.c' '*.h'
    clang_format --dry-run -Werror
    echo "lint: format: ${#files[@]} files"
}

fix_format() {
    select_files '*.c' '*.h'
    clang_format -i
}

check_shell() {
    mapfile -t files < <(git grep --untracked -lE '^#!/(usr/)?bin/(env )?(ba)?sh' -- \
        scripts tests bench .ci docs)
    ((${#files[@]} > 0)) || fail "found no shell script"
    run_on_files shellcheck --severity=warning --external-sources --source-path=SCRIPTDIR
    echo "lint: shell: ${#files[@]} files"
}

check_cppcheck() {
    select_files '*.c'
    mkdir -p build/cppcheck
    run_on_files cppcheck --quiet --std=c11 --library=posix -I. -Iclient/include \
        --enable=warning,performance,portability --inline-suppr \
        --suppressions-list=cmake/cppcheck-suppressions.txt \
        --cppcheck-build-dir=build/cppcheck -j "$jobs" --error-exitcode=1
    echo "lint: cppcheck: ${#files[@]} files"
}

check_tidy() {
    local commands=${VIGIL_COMPILE_COMMANDS_DIR:-build/asan}
    [[ -f $commands/compile_commands.json ]] ||
        fail "no compile_commands.json in $commands: run 'cmake --preset asan' first"
    # The outside consumer is not part of the build: it compiles against an installed tree.
    select_files '*.c' ':!tests/package/consumer'
    # Nor are the drivers of other systems, unless VIGIL_BENCH_PEERS is on: their headers may be missing.
    local file all=("${files[@]}")
    files=()
    for file in "${all[@]}"; do
        if [[ $file != bench/peers/* ]] || grep -qF "$PWD/$file\"" "$commands/compile_commands.json"; then
            files+=("$file")
        fi
    done
    # One file a run: clang-tidy 14 mistakes va_list in the second and later files of a run. xargs
    # ends with 123 if any run found something, after all of them have run.
    run_on_files -P "$jobs" -n 1 clang-tidy --quiet -p "$commands" \
        2> >(grep -vE '^[0-9]+ warnings? generated\.$' >&2) ||
        fail "clang-tidy found something (above)"
    echo "lint: clang-tidy: ${#files[@]} files"
}

(($# > 0)) || set -- format shell cppcheck tidy
for check in "$@"; do
    case $check in
    format) check_format ;;
    fix) fix_format ;;
    shell) check_shell ;;
    cppcheck) check_cppcheck ;;
    tidy) check_tidy ;;
    *) fail "unknown check '$check' (format, shell, cppcheck, tidy, fix)" ;;
    esac
done
