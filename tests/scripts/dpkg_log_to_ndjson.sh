#!/usr/bin/env bash
# The converter yields one JSON line per status line, in order, and the sample has what it is for.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
convert=$SRC/scripts/dpkg-log-to-ndjson
sample=$SRC/share/dpkg-sample.log

fail() {
    echo "$*" >&2
    exit 1
}

"$convert" "$sample" >"$work/sample.ndjson"
jq -r '.key + " " + .value' "$work/sample.ndjson" >"$work/got"
awk '$3 == "status" {print "pkg/" $5, $4}' "$sample" >"$work/expected"
[[ -s $work/expected ]] || fail "the sample has no status line"
cmp "$work/expected" "$work/got" || fail "the lines differ from the log's"

for state in half-installed unpacked half-configured installed; do
    grep -q " $state\$" "$work/got" || fail "no package of the sample is ever $state"
done
awk '{last[$1] = $2} END {for (key in last) if (last[key] != "installed") {print key, last[key]; bad = 1}
    exit bad}' "$work/got" || fail "the packages above do not end up installed in the sample"

# Standard input; lines of another kind, cut off, or with what no package name has.
printf '%s\n' '2026-01-01 00:00:00 startup archives unpack' \
    '2026-01-01 00:00:01 status unpacked libstdc++6:amd64 12.2.0-14' \
    '2026-01-01 00:00:01 status unpacked a"b\c:all 1.0' \
    '2026-01-01 00:00:02 status unpacked' |
    "$convert" - >"$work/odd.ndjson"
[[ $(cat "$work/odd.ndjson") == '{"key":"pkg/libstdc++6:amd64","value":"unpacked"}' ]] ||
    fail "odd lines: $(cat "$work/odd.ndjson")"

if "$convert" "$work/no-such-file" >/dev/null 2>&1; then
    fail "a missing file must be an error"
fi
