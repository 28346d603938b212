# The figures of one run, from the connect and close lines of a server's log.
# Connections without a message (a probe whether the server answers) do not count.

function seconds(time, part) {
    split(time, part, /[:.]/)
    return part[1] * 3600 + part[2] * 60 + part[3] + part[4] / 1000
}

# value(NAME): the number behind " NAME=".
function value(name) {
    match($0, " " name "=[0-9.]+")
    return substr($0, RSTART + length(name) + 2, RLENGTH - length(name) - 2) + 0
}

/ new connection / { peer = $5; sub(/,$/, "", peer); connected[peer] = NR; time_at[NR] = $2 }

/ connection close / && value("messages") > 0 {
    if ($5 in connected && (!first || connected[$5] < first)) first = connected[$5]
    last = $2
    messages += value("messages")
    open = value("open")
    if (!closed++ || open > slowest) slowest = open
    if (closed == 1 || open < fastest) fastest = open
    if (!seen[$7]++) used++
}

END {
    if (!closed || !first) { print "error: the log has no connection with messages" >"/dev/stderr"; exit 1 }
    time = seconds(last) - seconds(time_at[first])
    if (time < 0) time += 86400 # over midnight
    if (time < 0.001) time = 0.001
    printf "first connect        %s\nlast close           %s\n", time_at[first], last
    printf "time between         %.3f s\nmessages per second  %.0f\n", time, messages / time
    printf "slowest connection   %.3f s\nfastest connection   %.3f s\n", slowest, fastest
    printf "threads used         %d%s\n", used, threads ? " of " threads : ""
}
