#!/usr/bin/env bash
# Many processes, many faults, and a checker of all guarantees afterwards (tests/torture).
#
#   scripts/torture.sh [--minutes N] [--seed S] [--rounds N] [--kills N] [--no-doubt] [--keep] [--verbose]
#
#   --minutes N   rounds of some 15 s each until N minutes are over (2)
#   --seed S      of the first round; each further round has the next number (the time, in seconds)
#   --rounds N    so many rounds, however long they take
#   --kills N     one round of nothing but N (up to 250) SIGKILLs of the server during increments by 8 clients
#   --no-doubt    fail where a request was left without an answer
#   --keep        the folder of each round, also where nothing was found
#   --verbose     show each round's plan
#
# Uses the release build and makes it if needed (BUILD=FOLDER: another build, as it is). A failure
# prints its round's seed and how to run that round again: the same plan; what processes make of it
# in time differs. Its folder with all histories is kept. Exit: 0 nothing was found, 1 something was,
# 2 usage, 130 interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,18s/^# \{0,1\}//p' "$0"
}

seconds=120
seed=$(date +%s)
options=()
while (($# > 0)); do
    case $1 in
    --minutes | --seed | --rounds | --kills)
        [[ ${2-} =~ ^[0-9]+$ ]] || {
            echo "torture: $1 needs a number" >&2
            exit 2
        }
        case $1 in
        --minutes) seconds=$(($2 * 60)) ;;
        --seed) seed=$2 ;;
        *) options+=("$1" "$2") ;;
        esac
        shift
        ;;
    --no-doubt | --keep | --verbose) options+=("$1") ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "torture: unknown option '$1'" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

build=${BUILD:-build/release}
if [[ $build == build/release ]]; then
    cmake --preset release >/dev/null
    cmake --build --preset release --target torture | tail -n 1
fi
exec "$build/tests/torture/torture" --vigild "$build/bin/vigild" \
    --actor "$build/tests/torture/torture_actor" \
    --preload "$build/tests/torture/libvigil_torture_preload.so" \
    --seconds "$seconds" --seed "$seed" ${options[@]+"${options[@]}"}
