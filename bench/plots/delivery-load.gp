# From handing a put over until the watcher holds it, over the load; timed from when each was due.
width = 980
height = 520
load 'bench/plots/common.gp'
set logscale xy
set format x "%.0s %c"
set format y "%.0s %c"
set xrange [100:1000000]
set yrange [10:1000000]
set xlabel "puts of 100 B a second, at a fixed rate"
set ylabel "µs until the watcher has it: p50, dashed p99"
set bmargin at screen 0.26
set tmargin at screen 0.92
set multiplot layout 1, 2
array colours[3] = [vigil, redis, etcd]
set title "on the disk when acknowledged"
set key at screen 0.27, screen 0.02 center bottom vertical Left reverse maxrows 3
plot for [i = 0 : 2] data index i using 1:2 with linespoints linecolor rgb colours[i + 1] \
        linewidth 2 pointtype 7 pointsize 0.5 title columnheader(1), \
    for [i = 0 : 2] data index i using 1:3 with linespoints linecolor rgb colours[i + 1] \
        dashtype 2 pointtype 7 pointsize 0.4 notitle
array colours[3] = [vigil, redis, jetstream]
set title "† acknowledged before the sync"
set key at screen 0.77, screen 0.02 center bottom vertical Left reverse maxrows 3
plot for [i = 3 : 5] data index i using 1:2 with linespoints linecolor rgb colours[i - 2] \
        linewidth 2 pointtype 7 pointsize 0.5 title columnheader(1), \
    for [i = 3 : 5] data index i using 1:3 with linespoints linecolor rgb colours[i - 2] \
        dashtype 2 pointtype 7 pointsize 0.4 notitle
unset multiplot
