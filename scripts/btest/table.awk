# The table of the median runs, and a sentence on which thread count was best.
# A count is within the spread of the runs if its best run is at least as good as the
# worst run of the best count.

function threads_of(count) { return count == 1 ? "1 thread" : count " threads" }
# listed(LIST, N): "2, 8 and 32".
function listed(list, n, text, i) {
    text = list[1]
    for (i = 2; i <= n; i++) text = text (i < n ? ", " : " and ") list[i]
    return text
}

NR == 1 {
    print " I/O            messages per second          seconds  fastest  slowest      p50      p99"
    print "threads  used   median      min      max               client   client       us       us"
}
{
    mark = $1 == cpus ? "  = CPUs" : $1 == 2 * cpus ? "  = 2 x CPUs" : ""
    printf "%7d %5d %8d %8d %8d %12.3f %8.3f %8.3f %8.0f %8.0f%s\n", $1, $4, $2, $9, $10, $3, $5, $6, $7, $8, mark
    count[NR] = $1; median[NR] = $2; least[NR] = $9; most[NR] = $10; runs = $11
    if (NR == 1 || $2 > median[best]) best = NR
}

END {
    if (!NR) exit
    if (NR == 1) {
        if (runs > 1) printf "\n%s had a median of %s messages per second in %d runs (%s to %s).\n", threads_of(count[1]), grouped(median[1]), runs, grouped(least[1]), grouped(most[1])
        exit
    }
    printf "\n%s had the most messages per second (", threads_of(count[best])
    if (runs == 1) { printf "%s in one run); one run of each count does not show how far runs differ.\n", grouped(median[best]); exit }
    printf "median %s of %d runs); ", grouped(median[best]), runs
    for (i = 1; i <= NR; i++) {
        if (i == best) continue
        if (!next_best || median[i] > median[next_best]) next_best = i
        if (most[i] >= least[best]) close_by[++n] = count[i]
    }
    if (n == NR - 1 && n > 1) printf "all other counts are within the spread of the runs.\n"
    else if (n) printf "%s %s within the spread of the runs.\n", n == 1 ? threads_of(close_by[1]) : listed(close_by, n) " threads", n == 1 && close_by[1] == 1 ? "is" : "are"
    else printf "the next, %s (median %s), %s behind by more than the spread of the runs.\n", threads_of(count[next_best]), grouped(median[next_best]), count[next_best] == 1 ? "is" : "are"
}
