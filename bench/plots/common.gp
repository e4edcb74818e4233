# What the plots share. The caller gives data (blocks, each under its name, always as many) and out.
set terminal svg size width,height dynamic font "sans-serif,13" background "#ffffff" noenhanced
set encoding utf8
set output out
set grid
set border 3
set tics nomirror
set key at screen 0.5, screen 0.02 center bottom vertical Left reverse maxrows 5 noenhanced
set datafile missing "?"
vigil = "#6a3d9a"
redis = "#d62728"
redis_stream = "#ff7f0e"
etcd = "#1f77b4"
jetstream = "#2ca02c"
