#!/usr/bin/env bash
# Prints how much of each file the tests ran, by lines, the least covered first:
#
#   cmake --preset coverage && cmake --build --preset coverage && ctest --preset coverage
#   scripts/coverage-report.sh [BUILD_DIR]     default build/coverage
#
# Counts add up over runs: remove the .gcda files (or the folder) to start afresh.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build/coverage}
root=$PWD
mapfile -d '' -t counts < <(find "$(realpath "$build")" -name '*.gcda' -print0)
((${#counts[@]} > 0)) || {
    echo "coverage-report: no .gcda file in $build: build with --preset coverage and run the tests" >&2
    exit 1
}

gcov --json-format --stdout "${counts[@]}" 2>/dev/null | jq -rn --arg root "$root/" '
    # A file is part of several programs: a line is covered if it ran in any of them.
    [inputs.files[] | select(.file | startswith($root)) | .file |= ltrimstr($root)
     | select(.file | startswith("tests/") or startswith("build/") | not)
     | .file as $file | .lines[] | [$file, .line_number, .count > 0]]
    | group_by(.[0])
    | map({file: .[0][0], lines: (group_by(.[1]) | map(any(.[]; .[2])))})
    | map({file, all: (.lines | length), run: (.lines | map(select(.)) | length)})
    | . + [{file: "total", all: (map(.all) | add), run: (map(.run) | add)}]
    | map(. + {percent: (if .all == 0 then 100 else 100 * .run / .all end)})
    | (.[:-1] | sort_by(.percent)) + .[-1:]
    | .[] | "\(.percent * 10 | floor / 10)%\t\(.run)/\(.all)\t\(.file)"'
