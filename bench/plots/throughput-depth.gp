# Puts a second over the requests in flight on each connection; bars show the range of the rounds.
width = 980
height = 600
load 'bench/plots/common.gp'
set logscale xy
set format y "%.0s %c"
set xtics (1, 16, 64)
set xrange [0.8:80]
set yrange [100:1000000]
set xlabel "requests in flight on each connection"
set ylabel "puts of 100 B a second"
set bmargin at screen 0.36
set tmargin at screen 0.92
set multiplot layout 1, 2
array colours[3] = [vigil, redis, etcd]
set title "on the disk when acknowledged"
set key at screen 0.27, screen 0.02 center bottom vertical Left reverse maxrows 6
plot for [i = 0 : 5] data index i using 1:2:3:4 with yerrorlines linecolor rgb colours[i % 3 + 1] \
    dashtype 1 + (i < 3) linewidth 2 pointtype 7 pointsize 0.5 title columnheader(1)
array colours[3] = [vigil, redis, jetstream]
set title "† acknowledged before the sync"
set key at screen 0.77, screen 0.02 center bottom vertical Left reverse maxrows 6
plot for [i = 6 : 11] data index i using 1:2:3:4 with yerrorlines linecolor rgb colours[i % 3 + 1] \
    dashtype 1 + (i < 9) linewidth 2 pointtype 7 pointsize 0.5 title columnheader(1)
unset multiplot
