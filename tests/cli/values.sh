#!/usr/bin/env bash
# Values on their way in and out: JSON of every kind, text, bytes, files, standard input, sizes.
. "$(dirname "$0")/lib_cli.sh"
start_server

# comes_back JSON: it is stored and printed as it was.
comes_back() {
    expect 0 put v "$1"
    expect 0 get v
    out_is "$1"
}
comes_back null
comes_back true
comes_back '""'
comes_back 0
comes_back 9007199254740993
comes_back 18446744073709551615
comes_back -9223372036854775808
comes_back 0.1
comes_back 1.0
comes_back 1e+300
comes_back '"a\"\\\n\u0000\u001fäö😀"'
comes_back '{"a":{"b":[{},[],[[1]]]}}'
comes_back '{"$bin":"AP8="}'
comes_back '{"$ext":[-3,"AQ=="]}'
comes_back '{"$map":[[1,"x"],[null,[]]]}'
comes_back '{"$float":"-inf"}'

expect 0 put v ' { "a" : 1 , "a" : 2 } '
expect 0 get v
out_is '{"a":2}'

# What is no JSON, or would not be what was written.
for text in '' '{' 'nonsense' "{'a':1}" '[1,]' '01' 'NaN' '1 2' '"\ud800"' $'"\x01"' $'"\xff"' \
    18446744073709551616 -9223372036854775809 1e999 '{"$bin":"?"}'; do
    expect 2 put v "$text"
    err_has 'vigil: put:'
done
err_has '$bin'
expect 2 put v 18446744073709551616
err_has '64 bits'
deep=$(printf '[%.0s' {1..33})$(printf ']%.0s' {1..33})
expect 2 put v "$deep"
err_has '32 levels'
comes_back "${deep:1:64}"

# Text and bytes as they are; --raw gives them back.
expect 0 put v --string 'no "JSON"'
expect 0 get v
out_is '"no \"JSON\""'
expect 0 get v --raw
[[ $out == 'no "JSON"' ]] || fail "--raw: '$out'"
expect 0 get v --raw --meta
out_has '.value == "no \"JSON\""'
expect 2 put v --string $'\xff'
err_has 'UTF-8'
head -c 1000 /dev/urandom >"$dir/bytes"
expect 0 put v --binary --file "$dir/bytes"
"$VIGIL" get v --raw | cmp - "$dir/bytes" || fail "bytes differ"
expect 0 get v
out_has '."$bin" | length == 1336'
expect 0 put v 5
expect 0 get v --raw
out_is 5

# Files and standard input.
echo '{"from":"file"}' >"$dir/json"
expect 0 put v --file "$dir/json"
expect 0 get v
out_is '{"from":"file"}'
echo '[1]' >"$dir/in"
expect 0 put v - <"$dir/in"
expect 0 get v
out_is '[1]'
expect 0 put v --file - --string <"$dir/in"
expect 0 get v
out_is '"[1]\n"'
expect 1 put v --file "$dir/none"
err_has 'No such file'
expect 1 put v --file "$dir"
echo '{' >"$dir/bad"
expect 1 put v --file "$dir/bad"
err_has "$dir/bad: no valid JSON"
expect 2 put v
expect 2 put v 1 --file "$dir/json"
expect 2 put v 1 --string --binary

# The server's limit: 1 MiB unless told. Just below it fits; above, nothing happens.
head -c 1048560 /dev/zero | tr '\0' x >"$dir/large"
expect 0 put v --string --file "$dir/large"
"$VIGIL" get v --raw | cmp - "$dir/large" || fail "the large value differs"
head -c 1048577 /dev/zero | tr '\0' x >"$dir/larger"
expect 1 put v --string --file "$dir/larger"
err_has 'the server takes 1048576'
"$VIGIL" get v --raw | cmp - "$dir/large" || fail "the large value is gone"
# A line of 6 MB: each byte an escape.
head -c 1000000 /dev/zero | tr '\0' '\001' >"$dir/escapes"
expect 0 put v --string --file "$dir/escapes"
"$VIGIL" get v | jq -j . | cmp - "$dir/escapes" || fail "escapes differ"
"$VIGIL" watch v --since oldest --timeout 20s --until-seq "$("$VIGIL" status --json | jq .head)" |
    tail -n 1 | jq -j .value | cmp - "$dir/escapes" || fail "escapes differ in a change line"
