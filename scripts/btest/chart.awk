# Messages per second over I/O threads, as SVG: a line through the medians, and a bar
# from the slowest to the fastest run of each count. Reads what medians.awk prints.
# Numbers stand below the axis, each in a column of its own, so that none can cover
# another or the line.

function y_of(rate) { return bottom - height * rate / top }
function x_of(i) { return left + slot * (i - 0.5) }
# step_for(MOST): the distance of the grid's lines, 1, 2 or 5 times a power of ten.
function step_for(most, step) {
    for (step = 1; step * 6 < most; step *= 10) if (step * 12 >= most) return step * 2; else if (step * 30 >= most) return step * 5
    return step
}
function text_at(x, y, anchor, class, text) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y, anchor, class, text
}
function line_at(x1, y1, x2, y2, class) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class
}

{ threads[NR] = $1; median[NR] = $2; least[NR] = $9; most[NR] = $10; runs = $11; if ($10 > highest) highest = $10 }

END {
    slot = NR > 6 ? 84 : 560 / NR
    left = 120; height = 260; bottom = 346; width = slot * NR; right = left + width
    step = step_for(highest); top = step * (int(highest / step) + 1)

    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d 430\" font-family=\"sans-serif\" font-size=\"13\">\n", right + 30
    print "<style>"
    print ".page { fill: #fff } text { fill: #222 } .quiet { fill: #666 } .title { font-size: 16px } .bold { font-weight: bold }"
    print ".grid { stroke: #ddd } .axis { stroke: #666 } .mark { stroke: #b35900; stroke-dasharray: 4 4 } .marked { fill: #b35900 }"
    print ".line { fill: none; stroke: #1f5fa8; stroke-width: 2 } .bar { stroke: #1f5fa8; stroke-width: 1.5 } .dot { fill: #1f5fa8 }"
    print "@media (prefers-color-scheme: dark) {"
    print ".page { fill: #161b22 } text { fill: #e6e6e6 } .quiet { fill: #a0a0a0 } .grid { stroke: #333b45 } .axis { stroke: #a0a0a0 }"
    print ".mark { stroke: #e0a050 } .marked { fill: #e0a050 } .line, .bar { stroke: #6cb0f5 } .dot { fill: #6cb0f5 }"
    print "}\n</style>"
    printf "<rect width=\"%d\" height=\"430\" class=\"page\"/>\n", right + 30
    text_at(20, 26, "start", "title", "Messages per second over I/O threads")
    text_at(20, 46, "start", "quiet", what)
    text_at(20, 64, "start", "quiet", runs > 1 ? "line: median of " runs " runs; bars: slowest to fastest run" : "one run each")
    printf "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">messages per second</text>\n", bottom - height / 2

    for (value = 0; value <= top; value += step) {
        line_at(left, y_of(value), right, y_of(value), value ? "grid" : "axis")
        text_at(left - 8, y_of(value) + 4, "end", "quiet", grouped(value))
    }
    text_at(left - 8, bottom + 22, "end", "quiet", "I/O threads")
    text_at(left - 8, bottom + 42, "end", "quiet", runs > 1 ? "median" : "per second")
    for (i = 1; i <= NR; i++) {
        x = x_of(i)
        name = threads[i] == cpus ? "= CPUs" : threads[i] == 2 * cpus ? "= 2 x CPUs" : ""
        if (name) { line_at(x, bottom - height, x, bottom, "mark"); text_at(x, bottom + 62, "middle", "marked", name) }
        line_at(x, bottom, x, bottom + 5, "axis")
        text_at(x, bottom + 22, "middle", "bold", threads[i])
        text_at(x, bottom + 42, "middle", "", grouped(median[i]))
        points = points sprintf("%.1f,%.1f ", x, y_of(median[i]))
    }
    printf "<polyline points=\"%s\" class=\"line\"/>\n", points
    for (i = 1; i <= NR; i++) {
        x = x_of(i)
        if (runs > 1) {
            line_at(x, y_of(least[i]), x, y_of(most[i]), "bar")
            line_at(x - 6, y_of(least[i]), x + 6, y_of(least[i]), "bar")
            line_at(x - 6, y_of(most[i]), x + 6, y_of(most[i]), "bar")
        }
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" class=\"dot\"/>\n", x, y_of(median[i])
    }
    print "</svg>"
}
