# Puts a second over the watchers of everything; bars show the range of the rounds.
width = 760
height = 520
load 'bench/plots/common.gp'
set logscale xy
set format y "%.0s %c"
set xtics (1, 10, 100)
set xrange [0.8:125]
set yrange [100:1000000]
set xlabel "watchers, each of everything"
set ylabel "puts of 100 B a second, at 50 × 16"
set bmargin at screen 0.34
array colours[5] = [vigil, redis, redis_stream, jetstream, etcd]
plot for [i = 0 : 4] data index i using 1:2:3:4 with yerrorlines linecolor rgb colours[i + 1] \
    linewidth 2 pointtype 7 pointsize 0.5 title columnheader(1)
