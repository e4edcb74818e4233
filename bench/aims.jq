# What bench/aims.sh has measured, as a table in Markdown: jq -r -s -f aims.jq aims.ndjson

def n: if . == null then "-"
    elif . >= 1000000 then "\(. / 10000 | round / 100) M"
    elif . >= 10000 then "\(. / 1000 | round) K"
    elif . >= 100 then "\(round)"
    elif . >= 10 then "\(. * 10 | round / 10)"
    else "\(. * 100 | round / 100)" end;
def us: if . >= 10000 then "\(. / 1000 | n) ms" else "\(n) µs" end;
def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;
# Median of a figure over the runs.
def mid(f): map(f) | median;

# A row: the runs come in. reached has a number for each; spread, where one run has its own.
def row($what; $aim; $most; reached; spread; behind):
    select(length > 0)
    | map(reached) as $all
    | ($all | median) as $median
    | (spread // [($all | min), ($all | max)]) as $spread
    | (if $most then $median <= $aim else $median >= $aim end) as $met
    | "| \($what) | \(if $most then "≤" else "≥" end) \($aim) | \($median | n) | \($spread[0] | n) to \($spread[1] | n) | "
        + "\(if $met then "met" else "**missed**" end) | \(behind) |";
def no_spread: null;

. as $all
| def of($aim): [$all[] | select(.aim == $aim)];
  def of($aim; $durability): [of($aim)[] | select(.durability == $durability)];
  ($all | map(.machine // empty) | unique | join("; ")) as $machine
| "Measured on \($all | map(.date) | unique | join(", ")): \($machine), \($all | map(.file_system // empty) | unique | join(", ")), \($all | map(.version // empty) | unique | map("vigild " + .) | join(", ")).",
"",
"| what | aim | reached | lowest to highest | | of that |",
"| --- | --- | ---: | --- | --- | --- |",
(of("commit") | row("durable put, 1 × 1: p50 in one bare LMDB commit plus one echo"; 1.3; true;
    .ratio_commit_and_echo; no_spread;
    "put \(mid(.p50_us) | us), commit \(mid(.bare_commit_us) | us), echo \(mid(.bare_round_trip_us) | us)")),
(of("half"; "process") | row("set to delivery at half of the peak rate, `process`: p99 in p50s at a light load"; 5; true;
    .ratio_light; no_spread;
    "p99 \(mid(.p99_us) | us) at \(mid(.ops_per_s) | n)/s, p50 \(mid(.light_p50_us) | us) at \(mid(.light_per_s) | n)/s")),
(of("half"; "power") | row("the same, `power`: p99 in bare commits of as many records"; 3; true;
    .ratio_commit; no_spread;
    "p99 \(mid(.p99_us) | us) at \(mid(.ops_per_s) | n)/s, commit of \(mid(.records_per_commit) | n) records \(mid(.bare_commit_us) | us)")),
(of("keys") | row("\(mid(.watchers) | n) watchers on as many keys, puts on one: server CPU per put, in that with one watcher"; 1.05; true;
    .ratio_one; [mid(.ratio_one_min), mid(.ratio_one_max)];
    "\(mid(.server_cpu_us_per_op_all) | us) and \(mid(.server_cpu_us_per_op_one) | us)")),
(of("fanout") | row("100 watchers on one filter, in rounds: deliveries in those of a bare PUB, none by repair"; 0.9; false;
    (if .watch_gaps > 0 then 0 else .ratio_fanout end); no_spread;
    "\(mid(.deliveries_per_s) | n)/s and \(mid(.fanout_per_s) | n)/s")),
(of("filters") | row("10,000 filters of which one matches: instructions per put, in those with one"; 1.1; true;
    ([.counts | (."match/keys-10000" / ."match/keys-1"), (."match/prefixes-10000" / ."match/prefixes-1")] | max); no_spread;
    "keys \(.[0].counts | ."match/keys-10000" | n) and \(.[0].counts | ."match/keys-1" | n), prefixes \(.[0].counts | ."match/prefixes-10000" | n) and \(.[0].counts | ."match/prefixes-1" | n)")),
(of("beside") | row("one watcher stopped, one replaying \(mid(.records) | n) records: others' p99, in that beside an equal CPU load"; 1.5; true;
    .ratio_p99_median; [mid(.ratio_p99_min), mid(.ratio_p99_max)];
    "p99 \(mid(.p99_us) | us), \(mid(.burning_p99_us) | us) and, alone, \(mid(.alone_p99_us) | us); \(mid(.replay_cores) | n) and \(mid(.burnt_cores) | n) cores; \(mid(.ops_per_s) | n) records/s replayed")),
(of("grown") | row("start with \(mid(.records) | n) records, in that with 10 thousand, after SIGTERM"; 3; true;
    .ratio_few; no_spread; "\(mid(.p50_us) / 1000 | n) and \(mid(.few_p50_us) / 1000 | n) ms")),
(of("grown") | row("the same after SIGKILL"; 3; true;
    .ratio_few_killed; no_spread; "\(mid(.killed_p50_us) / 1000 | n) and \(mid(.few_killed_p50_us) / 1000 | n) ms")),
(of("grown") | row("server memory (anonymous, MiB), \(mid(.records) | n) records, \(mid(.keys) | n) keys, \(mid(.watchers) | n) watchers"; 200; true;
    .anon_most_mib; no_spread;
    "\(mid(.anon_written_mib) | n) when all is written, \(mid(.anon_watched_mib) | n) with the watchers, \(mid(.anon_started_mib) | n) after a start")),
(of("written") | row("bytes written per durable put of 100 B, 50 × 64, \(mid(.keys) | n) keys, in the record's"; 3; true;
    .ratio_written_record; no_spread;
    "\(mid(.server_written_bytes_per_op) | n) of \(mid(.record_size) | n) bytes; the device wrote \(mid(.device_bytes_per_op) | n)"))
