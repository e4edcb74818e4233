#!/usr/bin/env bash
# No two modules of one program define the same external name: from static libraries the linker would
# take whichever comes first, and say nothing.
set -euo pipefail

failed=0
check_program() { # NAME LIBRARY...
    local program=$1 library twice
    shift
    for library in "$@"; do
        # Of a program that this build leaves out, nothing is to be checked.
        [[ -f $BUILD/$library ]] || return 0
    done
    twice=$(cd "$BUILD" && nm -A -g --defined-only "$@" 2>/dev/null |
        awk '$NF !~ /^_/ {split($1, place, ":"); print $NF, place[1] "(" place[2] ")"}' | sort -u |
        awk '{places[$1] = places[$1] " " $2; count[$1]++}
            END {for (name in count) if (count[name] > 1) print "  " name ":" places[name]}')
    if [[ -n $twice ]]; then
        printf '%s: defined twice\n%s\n' "$program" "$twice" >&2
        failed=1
    fi
}

protocol=protocol/libvigil_protocol.a
journal=journal/libvigil_journal.a
client=client/libvigil_client.a
jq=client/cli/libvigil_cli_jq.a
core=server/libvigil_server_core.a
net=server/libvigil_server.a
check_program vigild $protocol $journal $core $net
check_program vigil $protocol $journal $client $jq client/cli/libvigil_cli_core.a
check_program vigil-bench $protocol $journal $client $jq bench/libvigil_bench_core.a
check_program "integration tests" $protocol $journal $core $net $client
exit $failed
