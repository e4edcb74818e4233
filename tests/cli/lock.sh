#!/usr/bin/env bash
# ctest: TIMEOUT=240
# lock runs a command while it holds the lock and ends as that does; elect leads until it is told to end.
. "$(dirname "$0")/lib_cli.sh"
start_server --durability process

in_line() { # PREFIX COUNT
    [[ $("$VIGIL" count "$1") == "$2" ]]
}

# ---- the command's end is lock's ----
expect 0 lock l -- true
expect 7 lock l -- sh -c 'exit 7'
expect 143 lock l -- sh -c 'kill -TERM $$'
expect 127 lock l -- "$dir/no-such-command"
err_has 'no-such-command'
touch "$dir/no-program"
expect 126 lock l -- "$dir/no-program"
expect 0 lock l -- sh -c 'echo "$1 $VIGIL_LOCK_NAME"' - word
out_is 'word l'
expect 2 lock l
expect 2 lock l --ttl nonsense -- true
expect 1 lock l --ttl 1ms -- true
expect 1 lock 'a//b' -- true
err_has '//'
in_line lock/ 0 || fail "a key is left: $("$VIGIL" ls 'lock/*')"

# ---- the fence grows ----
last=0
for _ in 1 2 3; do
    expect 0 lock l -- sh -c 'echo "$VIGIL_LOCK_SEQ"'
    ((out > last)) || fail "the fence $out after $last"
    last=$out
done

# ---- one at a time ----
echo 0 >"$dir/n"
adders=()
for _ in {1..8}; do
    "$VIGIL" lock one -- sh -c 'n=$(cat "$1") && echo $((n + 1)) >"$1"' - "$dir/n" 2>>"$dir/adders.err" &
    adders+=($!)
    started+=($!)
done
for pid in "${adders[@]}"; do wait_for_exit 0 "$pid"; done
[[ $(cat "$dir/n") == 8 ]] || fail "the file has $(cat "$dir/n")"

# ---- waiting, and a signal ----
# hold NAME [OPTION]...: a lock in the background whose command has said so; its pid is $held. (What
# a script runs in the background ignores SIGINT, and the command would too.)
hold() {
    local name=$1
    shift
    rm -f "$dir/held"
    mkfifo "$dir/held"
    env --default-signal=INT "$VIGIL" lock "$name" "$@" -- sh -c '
        trap "echo got TERM; exit 5" TERM
        trap "echo got INT; exit 6" INT
        echo held
        while :; do sleep 0.05; done' >"$dir/held" 2>"$dir/held.err" &
    held=$!
    started+=("$held")
    exec 7<"$dir/held"
    local line=
    read -r -t 60 line <&7 || true
    [[ $line == held ]] || fail "lock does not hold: '$line'"
}
heard() { # what the command says next
    local line=
    read -r -t 60 line <&7 || true
    [[ $line == "$1" ]] || fail "the command said '$line' instead of '$1'"
}

hold l
expect 4 lock l --timeout 100ms -- sh -c 'echo never'
out_is ''
err_has 'timed out'
expect 4 lock l --timeout 0 -- true
in_line lock/l// 1 || fail "who has timed out is still in the line"
kill -TERM "$held"
heard 'got TERM'
wait_for_exit 5 "$held"
hold l
kill -INT "$held"
heard 'got INT'
wait_for_exit 6 "$held"
expect 0 lock l --timeout 0 -- true

# A signal while it waits ends it: its place is given up, and its command never runs.
hold l
"$VIGIL" lock l -- touch "$dir/ran" 2>"$dir/waiting.err" &
waiting=$!
started+=("$waiting")
until_true 60 in_line lock/l// 2
kill -TERM "$waiting"
status=0
wait "$waiting" || status=$?
((status == 143)) || fail "a waiting lock that got SIGTERM ended with $status"
in_line lock/l// 1 || fail "its place is still there"
[[ ! -e $dir/ran ]] || fail "its command ran"
kill -TERM "$held"
wait_for_exit 5 "$held"

# ---- a holder that is stopped for too long ----
hold l --ttl 1s
kill -STOP "$held"
expect 0 lock l --timeout 60s -- true
kill -CONT "$held"
heard 'got TERM'
wait_for_exit 1 "$held"
[[ $(cat "$dir/held.err") == *lost* ]] || fail "it does not say so: $(cat "$dir/held.err")"

# ---- a server that is killed and comes back within the time ----
hold l --ttl 1m
kill_server
start_server --durability process
expect 4 lock l --timeout 100ms -- true
kill -TERM "$held"
heard 'got TERM'
wait_for_exit 5 "$held"

# ---- elections ----
expect 3 elect e
err_has 'nobody'
# campaign FD NAME VALUE [OPTION]...: an elect in the background that writes to FD; its pid is $candidate.
campaign() {
    local fifo=$dir/candidate.$1
    rm -f "$fifo"
    mkfifo "$fifo"
    "$VIGIL" elect "${@:2}" >"$fifo" 2>"$fifo.err" &
    candidate=$!
    started+=("$candidate")
    eval "exec $1<\"\$fifo\""
}
leads() { # FD VALUE
    local line=
    read -r -t 60 -u "$1" line || true
    [[ $(jq -r .value <<<"$line") == "$2" ]] || fail "the leader's line: '$line' instead of $2"
    expect 0 elect e
    out_is "$line"
    seq=$(jq .seq <<<"$line")
}
campaign 8 e '"one"' --ttl 1s
first=$candidate
leads 8 one
first_seq=$seq
campaign 9 e --string two
second=$candidate
until_true 60 in_line election/e// 2
expect 0 elect e
out_has '.election == "e" and .value == "one"'
expect 4 elect e 3 --timeout 100ms
err_has 'timed out'
expect 1 elect 'e/' 3
expect 2 elect e '{'
kill -KILL "$first"
leads 9 two
((seq > first_seq)) || fail "the fence $seq after $first_seq"
kill -TERM "$second"
wait_for_exit 0 "$second"
expect 3 elect e

# A leader that is stopped for too long ends, and says why.
campaign 8 e 1 --ttl 1s
leads 8 1
stopped=$candidate
kill -STOP "$stopped"
campaign 9 e 2
leads 9 2
kill -CONT "$stopped"
wait_for_exit 1 "$stopped"
[[ $(cat "$dir/candidate.8.err") == *lost* ]] || fail "it does not say so: $(cat "$dir/candidate.8.err")"
kill -INT "$candidate"
wait_for_exit 0 "$candidate"
