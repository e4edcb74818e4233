#!/usr/bin/env bash
# ctest: TIMEOUT=120
# Transactions from JSON: what they compare, what they do, what they print, and what they refuse.
. "$(dirname "$0")/lib_cli.sh"
start_server

# The documented example: a lock, taken by the first.
take='{"if":[{"key":"lock","exists":false}],
       "then":[{"put":"lock","value":"me"},{"incr":"takings"}],"else":[{"get":"lock"}]}'
expect 0 txn "$take"
out_is '{"succeeded":true,"seq":1,"results":[{"op":"put","key":"lock","present":false,"prev_seq":0},{"op":"incr","key":"takings","present":false,"prev_seq":0,"value":1}]}'
expect 3 txn <<<"$take"
out_is '{"succeeded":false,"seq":1,"results":[{"op":"get","key":"lock","present":true,"seq":1,"value":"me"}]}'
[[ -z $err ]] || fail "errors: $err"
printf '%s' "$take" >"$dir/take.json"
expect 3 txn --file "$dir/take.json"
expect 0 txn '{}'
out_is '{"succeeded":true,"seq":1,"results":[]}'

# Every compare, holding and not.
expect 0 put a '{"n":1}'
expect 0 put a '{"n":2}'
holds() {
    expect "$1" txn "{\"if\":[$2]}"
}
holds 0 '{"key":"a","seq":3}'
holds 3 '{"key":"a","seq":2}'
holds 0 '{"key":"never","seq":0}'
holds 0 '{"key":"a","seq":{">":2,"<":4}}'
holds 3 '{"key":"a","seq":{">":2,"<":3}}'
holds 0 '{"key":"a","seq":{"!=":2}}'
holds 0 '{"key":"a","version":2}'
holds 3 '{"key":"a","version":{">":2}}'
holds 0 '{"key":"a","version":{"=":2}}'
holds 0 '{"key":"a","value":{"n":2}}'
holds 3 '{"key":"a","value":{"n":1}}'
holds 0 '{"key":"a","not_value":{"n":1}}'
holds 0 '{"key":"never","not_value":null}'
holds 3 '{"key":"never","value":null}'
holds 0 '{"key":"a","exists":true,"seq":3}'
holds 3 '{"key":"a","exists":false}'
holds 0 '{"prefix":"a","unchanged_since":3}'
holds 3 '{"prefix":"a","unchanged_since":2}'
holds 3 '{"prefix":"","unchanged_since":2}'
holds 0 '{"prefix":"b","unchanged_since":0}'

# Every operation; each sees what those before it have done.
expect 0 txn <<'JSON'
{"then":[{"append":"list","value":1},{"append":"list","value":[2]},{"add":"list","value":1},
         {"add":"list","value":3},{"get":"list"},{"set_default":"list","value":0},
         {"set_default":"new","value":null},{"pop":"list"},{"pop":"list"},
         {"push":"q/","value":"x"},{"push":"q/","value":"y"},{"count":"q/"},{"list":"q/","limit":1},
         {"pop_any":"q/"},{"clear":"q/"},{"pop_any":"q/"},{"delete":"a"},
         {"incr":"big","by":9007199254740993}]}
JSON
jq -e '[.results[] | .op] == ["append","append","add","add","get","set_default","set_default",
    "pop","pop","push","push","count","list","pop_any","clear","pop_any","delete","incr"]' <<<"$out" >/dev/null || fail "$out"
at() {
    jq -ce "$1" <<<"$out" >/dev/null || fail "not $1: $out"
}
at '[.results[0:4][].length] == [1,2,2,3] and .results[2].present and (.results[3].present | not)'
at '.results[4].value == [1,[2],3] and .results[5].value == [1,[2],3] and .results[5].present'
at '.results[6].value == null and (.results[6].present | not)'
at '.results[7].value == [1,[2],3] and .results[8] == {"op":"pop","key":"list","present":false,"prev_seq":0}'
at '(.results[9].key | test("^q/[0-9a-f]{16}-0009$")) and .results[9].prefix == "q/"'
at '.results[11].count == 2 and (.results[12].rows | length == 1) and .results[12].rows[0].value == "x"'
at '.results[12].rows[0].key == .results[9].key and .results[13].key == .results[9].key and .results[13].value == "x"'
at '.results[14].count == 1 and (.results[15].present | not) and .results[16].prev_seq == 3'
[[ $out == *'"value":9007199254740993}'* ]] || fail "digits are lost: $out"
expect 0 get big
out_is 9007199254740993
expect 0 txn '{"then":[{"put":"brief","value":1,"ttl":"300ms"},{"put":"b","value":18446744073709551615}]}'
expect 0 txn '{"if":[{"key":"b","value":18446744073709551615}]}'
expect 3 txn '{"if":[{"key":"b","value":18446744073709551614}]}'
is_gone() { ! "$VIGIL" get brief >/dev/null 2>&1; }
until_true 20 is_gone

# All or nothing.
expect 0 put text '"t"'
out_is 7
expect 1 txn '{"then":[{"put":"x","value":1},{"incr":"text"}]}'
err_has 'not an integer'
expect 3 get x

# What is refused, and where.
refuse() {
    expect 2 txn "$1"
    err_has "$2"
    out_is ''
}
refuse '{"then":[{"put":"a","value":1},{"delete":"b"},{"delete":"a","vlaue":1}]}' 'then[2]: unknown member "vlaue"'
refuse '{"else":[{"put":"a"}]}' 'else[0]: "put" needs a "value"'
refuse '{"then":[{"delete":"a","value":1}]}' 'then[0]: "delete" has no "value"'
refuse '{"then":[{"put":"a","value":1,"limit":1}]}' 'then[0]: "put" has no "limit"'
refuse '{"then":[{"put":"a","value":1,"ttl":5}]}' 'then[0]: "ttl" is a time'
refuse '{"then":[{"put":"a","get":"b","value":1}]}' 'then[0]: both "put" and "get"'
refuse '{"then":[{"value":1}]}' 'then[0]: no operation'
expect 1 txn <<<'{"then":[{"get":7}]}'
err_has 'standard input: then[0]'
refuse '{"then":[{"get":""}]}' 'then[0]: a key must be 1 to 480 bytes'
refuse '{"then":[{"get":"a\u0000"}]}' 'then[0]: "get": a key must be'
refuse '{"then":[{"get":7}]}' 'then[0]: "get" is no string'
refuse '{"then":[7]}' 'then[0]: an operation is an object'
refuse '{"then":{}}' '"then" is no array'
refuse '{"when":[]}' 'unknown member "when"'
refuse '[]' 'a transaction is an object'
refuse '{"if":[{"key":"a"}]}' 'if[0]: beside "key"'
refuse '{"if":[{"seq":1}]}' 'if[0]: "key" is missing'
refuse '{"if":[{"key":"a","seq":-1}]}' 'if[0]: "seq" is no whole number'
refuse '{"if":[{"key":"a","seq":1.5}]}' 'if[0]: "seq" is no whole number'
refuse '{"if":[{"key":"a","seq":{"~":1}}]}' 'if[0]: unknown relation "~"'
refuse '{"if":[{"key":"a","seq":{}}]}' 'if[0]: "seq" is {}'
refuse '{"if":[{"key":"a","exists":1}]}' 'if[0]: "exists" is neither'
refuse '{"if":[{"key":"a","sequence":1}]}' 'if[0]: unknown member "sequence"'
refuse '{"if":[{"prefix":"a"}]}' 'if[0]: with "prefix" there is "unchanged_since"'
refuse '{"if":[{"prefix":"a","unchanged_since":1,"key":"b"}]}' 'if[0]: with "prefix"'
refuse '{"then":[{"incr":"a","by":18446744073709551615}]}' 'then[0]: "by" does not fit'
expect 1 txn <<<'{} {}'
err_has 'standard input: '
expect 1 txn </dev/null
expect 2 txn '{}' --file x
expect 1 txn --file "$dir/none"
expect 0 get b
out_is 18446744073709551615
