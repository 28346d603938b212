# One line for each thread count: that of its median run, with the fewest and the most
# messages per second of all its runs and their number behind it. Of an even number of
# runs the median is the lower of the two in the middle.
#
# Reads lines of "threads rate ...", sorted by both.

function finish() { if (runs) print line[int((runs + 1) / 2)], rate[1], rate[runs], runs }

$1 != threads { finish(); threads = $1; runs = 0 }
{ line[++runs] = $0; rate[runs] = $2 }
END { finish() }
