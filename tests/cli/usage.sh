#!/usr/bin/env bash
# Help for everything; each wrong command line is exit code 2 with a hint; output that fails is an error.
. "$(dirname "$0")/lib_cli.sh"

commands=(put get del incr txn update setdefault pop append add push clear count ls watch wait history load compact cursors status ping backup verify)

expect 0 help
[[ -z $err ]] || fail "help on standard error: $err"
for command in "${commands[@]}"; do
    [[ $out == *$'\n'"  $command "* ]] || fail "help does not list $command"
done
expect 0 --help
expect 0 -h
expect 0 --version
[[ $out == 'vigil '[0-9]* ]] || fail "version: $out"

for command in "${commands[@]}"; do
    expect 0 help "$command"
    text=$out
    expect 0 "$command" --help
    [[ $out == "$text" ]] || fail "help $command and $command --help differ"
    [[ $out == *"usage: vigil $command"* && $out == *Examples:*"vigil $command"* ]] ||
        fail "help $command: $out"
    awk 'length > 100 { exit 1 }' <<<"$out" || fail "help $command has long lines"
    expect 2 "$command" --no-such-option
    err_has "unknown option '--no-such-option'"
    err_has "vigil help $command"
    [[ -z $out ]] || fail "output: $out"
done

expect 2
err_has 'vigil help'
expect 2 no-such-command
expect 2 wacth
err_has "did you mean 'watch'?"
expect 2 help wacth
err_has "did you mean 'watch'?"
expect 2 watch --cuont 3
err_has "did you mean '--count'?"
expect 2 watch --count
err_has 'needs a value'
expect 2 get a --raw=yes
err_has 'takes no value'

# Too few and too many words.
for line in put get del incr wait history backup verify 'get a b' 'put a 1 2' 'del a b' 'incr a 1 2' \
    'txn {} {}' update 'update a' 'update a . b' setdefault pop 'pop a b' append add push clear 'clear a b' 'count a b' \
    'ls a b' 'wait a b' 'history a b' 'load a b' 'compact' 'compact 5' 'status a' 'ping a' 'backup a b' 'verify a b'; do
    # shellcheck disable=SC2086
    expect 2 $line
    err_has "vigil: ${line%% *}: "
done

# Values of options. None of these gets as far as to look for a server.
for line in 'watch --since x' 'watch --since 12:1' 'watch --since -1' 'watch --count 0' 'watch --count x' \
    'watch --until-seq x' 'watch --timeout x' 'watch --timeout 1d' 'wait a --timeout -1' \
    'wait a --since yesterday' 'compact --before x' 'ping --connect-timeout 5parsecs' \
    'get a --request-timeout 1e9' 'cursors --delete' 'watch --name a --cursor b'; do
    # shellcheck disable=SC2086
    expect 2 $line
done
expect 2 wait a --until '. =='
err_has 'syntax error'
expect 2 wait a --until 'nosuch(1)'
err_has 'not defined'

# The server's address.
expect 1 -s nonsense ping
err_has nonsense
expect 6 -s "ipc://$dir/none" ping --connect-timeout 100ms
expect 6 ping -s "ipc://$dir/none" --connect-timeout=0.1

# Output that cannot be written is an error; a reader that has gone is none.
start_server
expect 0 put a 1
status=0
"$VIGIL" get a >/dev/full 2>"$dir/err" || status=$?
((status == 1)) || fail "a full disk: exit code $status"
grep -q 'standard output: No space left' "$dir/err" || fail "a full disk: $(cat "$dir/err")"
status=0
"$VIGIL" watch --since 0 --until-seq 1 >/dev/full 2>"$dir/err" || status=$?
((status == 1)) || fail "watch into a full disk: exit code $status"
"$VIGIL" get a >&- || true
"$VIGIL" help | head -n 1 >/dev/null || fail "help into head: exit code $?"
expect 0 get a
out_is 1
