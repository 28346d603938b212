# grouped(NUMBER): 1304300 as 1,304,300.
function grouped(number, text) {
    text = sprintf("%d", number)
    while (match(text, /^[0-9]+[0-9][0-9][0-9](,|$)/)) {
        match(text, /^[0-9]+/)
        text = substr(text, 1, RLENGTH - 3) "," substr(text, RLENGTH - 2)
    }
    return text
}
