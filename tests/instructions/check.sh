#!/usr/bin/env bash
# ctest: TIMEOUT=300 LABELS=release-only
# Counts, by callgrind, the instructions that an operation of each case takes in the release build, and
# compares them with those in `counts`: exit 1 where one takes more than the margin beyond that, 77 where
# nothing can be compared (no valgrind, or a program made by another compiler than the counts were).
#
#   cmake --preset release && cmake --build --preset release --target instructions
#   tests/instructions/check.sh                     compares all cases
#   tests/instructions/check.sh put/1x1 put/50x16   these only
#   tests/instructions/check.sh --update            after a change on purpose: writes `counts` anew
#   tests/instructions/check.sh --profile put/1x1   which functions they are spent in
#
#   --plain           only runs each case, without counting: whether it does what it should
#   --program FILE    what is measured (build/release/tests/instructions/instructions)
#   --counts FILE     what it is compared with
#   --margin PERCENT  3 unless told
#   --measured FILE   compares what an earlier run has written there; with --keep FILE, a run writes it
#
# A count does not depend on the machine's speed or on what else runs there, so a change of one percent is
# real. It does depend on the compiler, whose version stands in `counts`, a little on that of the C
# library, and on the processor only where a library picks its functions by it, which is switched off
# here where it matters.
#
# One comparison needs no stored count: among 10,000 filters of which one matches, a put takes at most 10 %
# more than with that one alone, bookmarks included. It is made whatever the compiler.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${BUILD:-$here/../../build/release}/tests/instructions/instructions
counts=$here/counts
margin=3
ratio_margin=10
update=
plain=
profile=
measured=
keep=
cases=()

give_up() { # CODE TEXT
    echo "instructions: $2" >&2
    exit "$1"
}

while (($# > 0)); do
    case $1 in
    --program | --counts | --margin | --measured | --keep | --profile)
        (($# > 1)) || give_up 2 "$1 needs an argument"
        declare "${1#--}=$2"
        shift
        ;;
    --update) update=yes ;;
    --plain) plain=yes ;;
    -h | --help)
        sed -n '3,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    -*) give_up 2 "$1 is not an option" ;;
    *) cases+=("$1") ;;
    esac
    shift
done
[[ $margin =~ ^[0-9]+(\.[0-9]+)?$ ]] || give_up 2 "--margin takes a number of percent, not '$margin'"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The C library's copies of bytes are then the same on every x86-64 processor.
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-ERMS,-FSRM,-AVX512F,-AVX512VL,-RTM

count_case() { # NAME: the instructions of all its operations, on standard output; the profile stays
    valgrind --tool=callgrind --callgrind-out-file="$work/profile" --collect-atstart=no \
        --toggle-collect=measured_case "$program" "$1" >"$work/log" 2>&1 ||
        give_up 1 "$1: $(tail -n 20 "$work/log")"
    awk '/^(summary|totals):/ {print $2; exit}' "$work/profile"
}

measure() {
    local name operations total
    "$program" --compiler | sed 's/^/compiler /'
    while read -r name operations; do
        if ((${#cases[@]} == 0)) || [[ " ${cases[*]} " == *" $name "* ]]; then
            total=$(count_case "$name")
            awk -v name="$name" -v total="$total" -v operations="$operations" \
                'BEGIN {printf "%s %.1f\n", name, total / operations}'
        fi
    done < <("$program" --list)
}

if [[ -z $measured ]]; then
    [[ -x $program ]] || give_up 2 "no $program: build the preset release"
    if [[ -n $plain ]]; then
        while read -r name _; do
            "$program" "$name" || give_up 1 "$name failed"
        done < <("$program" --list)
        exit 0
    fi
    command -v valgrind >/dev/null || give_up 77 "skipped: there is no valgrind"
fi

if [[ -n $profile ]]; then
    count_case "$profile" >"$work/total"
    callgrind_annotate --threshold=99 "$work/profile"
    exit 0
fi

if [[ -z $measured ]]; then
    measured=$work/measured
    measure >"$measured"
    [[ -z $keep ]] || cp "$measured" "$keep"
fi
[[ $(wc -l <"$measured") -gt 1 ]] || give_up 2 "no such case: ${cases[*]}"

if [[ -n $update ]]; then
    ((${#cases[@]} == 0)) || give_up 2 "--update takes all cases"
    {
        echo "# Instructions an operation, as tests/instructions/check.sh --update has counted them."
        cat "$measured"
    } >"$counts"
    echo "written: $counts"
fi

# A ratio: exact, whatever the compiler.
awk -v margin="$ratio_margin" '
    {count[$1] = $2}
    END {
        split("keys prefixes", kinds)
        for (k in kinds) {
            one = count["match/" kinds[k] "-1"]
            many = count["match/" kinds[k] "-10000"]
            if (one == "" || many == "")
                continue
            more = (many / one - 1) * 100
            too_much = more > margin
            failed = failed || too_much
            printf "%-22s 10,000 filters take %.1f %% more than one, %s %g %%\n", "match/" kinds[k], more,
                too_much ? "which is beyond" : "within", margin
        }
        exit failed
    }' "$measured" || give_up 1 "a put is not independent of the filters that do not match"

if [[ $(grep '^compiler ' "$counts") != $(grep '^compiler ' "$measured") ]]; then
    echo "the counts are of: $(sed -n 's/^compiler //p' "$counts")" >&2
    echo "measured was:      $(sed -n 's/^compiler //p' "$measured")" >&2
    give_up 77 "skipped: counts of different compilers cannot be compared"
fi

awk -v margin="$margin" -v all="$((${#cases[@]} == 0))" '
    /^#/ || $1 == "compiler" {next}
    FNR == NR {stored[$1] = $2; next}
    {
        seen[$1] = 1
        if (!($1 in stored)) {
            printf "%-22s %10s %10.1f          NOT RECORDED\n", $1, "-", $2
            failed = 1
            next
        }
        change = ($2 / stored[$1] - 1) * 100
        verdict = "ok"
        if (change > margin) {
            verdict = "MORE"
            failed = 1
        } else if (change < -margin) {
            verdict = "less: keep it by --update"
        }
        printf "%-22s %10.1f %10.1f %+7.2f %% %s\n", $1, stored[$1], $2, change, verdict
    }
    END {
        for (name in stored) {
            if (all && !(name in seen)) {
                printf "%-22s is recorded and was not measured\n", name
                failed = 1
            }
        }
        exit failed
    }' "$counts" "$measured" ||
    give_up 1 "more than $margin % beyond the counts, or not recorded; if that is on purpose: --update"
