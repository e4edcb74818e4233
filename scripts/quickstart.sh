#!/usr/bin/env bash
# Vigil in a minute: installs what is missing, builds a release, starts a server of its own, and shows
# what it is for on real input, this machine's package log.
#
#   scripts/quickstart.sh            shows, and leaves nothing running
#   scripts/quickstart.sh --serve    leaves the server running, with the input in it
#
# All that it makes is under build/quickstart. The exit code is not 0 if anything is not as it should be.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly log_lines_max=20000
readonly log_lines_min=100
# A socket's path has a limit, see protocol/endpoint.h.
readonly socket_path_max=96

serve=no
case "${1-}" in
'') ;;
--serve) serve=yes ;;
-h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
*)
    echo "quickstart: unknown option '$1' (there is --serve)" >&2
    exit 2
    ;;
esac

bold=
plain=
if [[ -t 1 ]]; then
    bold=$'\e[1m'
    plain=$'\e[0m'
fi

step() {
    printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"
}

# Shows a command as one would type it; run it with the same words, with the programs' full paths.
show() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
}

fail() {
    echo "quickstart: $*" >&2
    [[ -s ${run:-}/vigild.log ]] && tail -n 5 "$run/vigild.log" >&2
    exit 1
}

run=
server_pid=
watcher_pid=

clean_up() {
    local status=$?
    trap - EXIT
    [[ -z $watcher_pid ]] || kill "$watcher_pid" 2>/dev/null || true
    if [[ $serve == no || $status != 0 ]]; then
        if [[ -n $server_pid ]]; then
            kill "$server_pid" 2>/dev/null || true
            wait "$server_pid" 2>/dev/null || true
        fi
        [[ -z $run ]] || rm -rf "$run"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "Installing what is missing, and building"
scripts/install-deps.sh --runtime-only
mkdir -p build/quickstart
build=$PWD/build/quickstart/release
{
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVIGIL_TESTS=OFF &&
        cmake --build "$build"
} >build/quickstart/build.log 2>&1 || {
    tail -n 20 build/quickstart/build.log >&2
    fail "the build failed; all of its output is in build/quickstart/build.log"
}
vigil=$build/bin/vigil
vigild=$build/bin/vigild
echo "$("$vigil" --version) is in ${build#"$PWD"/}/bin"

run=$(mktemp -d "$PWD/build/quickstart/run.XXXXXX")
((${#run} + 5 <= socket_path_max)) || run=$(mktemp -d "${TMPDIR:-/tmp}/vigil.XXXXXX")
export VIGIL_SERVER=ipc://$run/sock

step "Starting a server with an empty journal"
show "vigild --listen $VIGIL_SERVER --data $run/data"
mkfifo "$run/ready"
nohup "$vigild" --listen "$VIGIL_SERVER" --data "$run/data" >"$run/ready" 2>"$run/vigild.log" &
server_pid=$!
read -r -t 30 ready <"$run/ready" || fail "the server did not start"
[[ $ready == ready* ]] || fail "the server said '$ready'"
rm "$run/ready"
"$vigil" ping

# The machine's own log, or the sample where that says little.
log=/var/log/dpkg.log
if [[ -r $log ]]; then
    tail -n "$log_lines_max" "$log" >"$run/dpkg.log"
    scripts/dpkg-log-to-ndjson "$run/dpkg.log" >"$run/input"
fi
if [[ ! -e $run/input ]] || (($(wc -l <"$run/input") < log_lines_min)); then
    log=share/dpkg-sample.log
    scripts/dpkg-log-to-ndjson "$log" >"$run/input"
fi
total=$(wc -l <"$run/input")
packages=$(cut -d '"' -f 4 "$run/input" | sort -u | wc -l)

step "A watcher, while $total transitions of $packages packages are loaded from $log"
show "vigil watch 'pkg/*' &"
"$vigil" watch 'pkg/*' --cursor "$run/opened" --until-seq "$total" --timeout 60s >"$run/seen" &
watcher_pid=$!
for ((i = 0; i < 200; i++)); do
    [[ -e $run/opened ]] && break
    sleep 0.05
done
show "scripts/dpkg-log-to-ndjson | vigil load"
start=$(date +%s%N)
"$vigil" load "$run/input"
elapsed_us=$((($(date +%s%N) - start) / 1000 + 1))
wait "$watcher_pid" || fail "the watcher ended with exit code $?"
watcher_pid=
head -n 3 "$run/seen"
echo "..."
tail -n 1 "$run/seen"
seen=$(wc -l <"$run/seen")
((seen == total)) || fail "the watcher saw $seen of $total transitions"
cmp -s <(cut -d '"' -f 4,8 "$run/input") <(sed -E 's/.*"key":"([^"]*)","value":"([^"]*)".*/\1"\2/' "$run/seen") ||
    fail "what the watcher saw differs from the log"
echo "The watcher saw all $seen of them, in the log's order; the load took $((elapsed_us / 1000)) ms."

step "Waiting for a value that was there for a moment only"
key=$(grep '"half-configured"' "$run/input" | tail -n 1 | cut -d '"' -f 4) ||
    fail "no package was ever half-configured"
show "vigil get $key"
"$vigil" get "$key"
show "vigil wait $key --until '. == \"half-configured\"' --since oldest"
"$vigil" wait "$key" --until '. == "half-configured"' --since oldest --timeout 30s
echo "Whoever polls $key now never learns that it was. A wait does."

step "Stopping a watcher, and going on without missing anything"
sed 's/"key":"pkg\//"key":"again\//' "$run/input" >"$run/again"
half=$((total / 2))
show "vigil watch 'again/*' --cursor cursor"
"$vigil" watch 'again/*' --cursor "$run/cursor" >"$run/part1" &
watcher_pid=$!
for ((i = 0; i < 200; i++)); do
    [[ -e $run/cursor ]] && break
    sleep 0.05
done
head -n "$half" "$run/again" | "$vigil" load >/dev/null
kill -TERM "$watcher_pid"
status=0
wait "$watcher_pid" || status=$?
watcher_pid=
((status == 143)) || fail "the stopped watcher ended with exit code $status"
part1=$(wc -l <"$run/part1")
position=$(cat "$run/cursor")
echo "It is stopped after $part1 lines; its cursor is $position (epoch:seq)."
tail -n +"$((half + 1))" "$run/again" | "$vigil" load >/dev/null
echo "$((total - half)) changes happen while it is away."
show "vigil watch 'again/*' --cursor cursor"
"$vigil" watch 'again/*' --cursor "$run/cursor" --until-seq "$((2 * total))" --timeout 60s >"$run/part2"
part2=$(wc -l <"$run/part2")
((part1 + part2 == total)) || fail "$part1 + $part2 lines, and not $total"
distinct=$(cat "$run/part1" "$run/part2" | cut -d , -f 1 | sort -u | wc -l)
((distinct == total)) || fail "of $total lines only $distinct are different ones"
echo "It goes on where it was, with $part2 lines: $part1 + $part2 = $total, none missing, none twice."

step "That is what Vigil is for. What to type next"
if [[ $serve == yes ]]; then
    disown "$server_pid"
    cat <<EOF
The server goes on running (process $server_pid, journal in $run/data). In any terminal:

  export PATH=$build/bin:\$PATH VIGIL_SERVER=$VIGIL_SERVER
  vigil watch                             # leave it open, and in another terminal:
  vigil put hello '{"to":"world"}'
  vigil incr visits
  vigil history $key
  vigil help

It stops with: kill $server_pid
EOF
else
    cat <<EOF
  scripts/quickstart.sh --serve           # the same, and the server stays for you to try:
  vigil watch                             # every change; leave it open
  vigil put hello '{"to":"world"}'
  vigil wait hello --until '.to == "you"' # in a third terminal
  vigil help                              # all commands; the programs are in ${build#"$PWD"/}/bin

README.md goes on from here; docs/guarantees.md says what you can rely on.
EOF
fi
