# The figures of one run, from the merged JSON results of its clients. Exits with 1
# unless all of the `expected` messages were verified.

function number() { gsub(/[^0-9.]/, "", $2); return $2 + 0 }

/^  "messages":/ { verified = number() }
/^  "errors":/ { errors = number() }
/^  "mismatches":/ { wrong = number() }
/^  "latency_us":/ { is_latency = 1 }
/^  }/ { is_latency = 0 }
is_latency && /^    "p50":/ { p50 = number() }
is_latency && /^    "p99":/ { p99 = number() }

END {
    printf "verified             %d of %d\nwrong                %d\nerrors               %d\n", verified, expected, wrong, errors
    printf "p50 / p99            %.0f us / %.0f us\n", p50, p99
    exit verified != expected || wrong || errors
}
