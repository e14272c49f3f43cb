#!/usr/bin/env bash
# Searches a log of 1 GB (or $1 MB) with `pmon logs --grep`, with ripgrep if it is there, and with `grep -E`, in turn; prints
# each one's best of three and the ratios. Nothing is asserted but that all find the same lines.
# Needs a release build: cargo build --release. ripgrep: apt-get install ripgrep.
set -euo pipefail
cd "$(dirname "$0")/../.."
size_mb=${1:-1024}
pmon=${PMON:-$(ls -t target/*/release/pmon target/release/pmon 2>/dev/null | head -1)}
home=$(mktemp -d)
export PMON_HOME=$home NO_COLOR=1
finish() {
    "$pmon" kill >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap finish EXIT

printf 'sleep 100000\n' >"$home/app.sh"
"$pmon" start "$home/app.sh" --name app >/dev/null 2>&1
log=$home/logs/app-out.log
awk -v bytes=$((size_mb * 1048576)) 'BEGIN {
    srand(1)
    while (size < bytes) {
        n++
        line = sprintf("2026-11-22T%02d:%02d:%02d.%03dZ %s request %d took %d ms from 10.0.%d.%d /api/items/%d",
            n / 3600000 % 24, n / 60000 % 60, n / 1000 % 60, n % 1000, n % 97 ? "INFO" : "WARN", n, rand() * 900,
            rand() * 255, rand() * 255, rand() * 100000)
        if (n % 100003 == 0) line = line " ECONNREFUSED upstream " n % 7
        print line
        size += length(line) + 1
    }
}' >"$log"
# Warm: all read from the page cache.
cat "$log" >/dev/null

best() {
    local least=
    for _ in 1 2 3; do
        local start end
        start=$(date +%s%N)
        "$@" >"$home/found" || true
        end=$(date +%s%N)
        local took=$(((end - start) / 1000000))
        if [ -z "$least" ] || [ "$took" -lt "$least" ]; then least=$took; fi
    done
    echo "$least"
}
for pattern in ECONNREFUSED 'ECONN[A-Z]+ upstream [35]' 'took 89[0-9] ms from 10\.0\.1\.' 'no such line'; do
    ours=$(best "$pmon" logs app --out --raw --grep "$pattern" --no-follow --lines all)
    sum=$(md5sum <"$home/found")
    echo "pattern: $pattern ($(wc -l <"$home/found") lines of $(stat -c %s "$log") bytes)"
    echo "  pmon    $ours ms"
    for tool in "rg --no-config -N" "grep -E"; do
        if ! command -v "${tool%% *}" >/dev/null; then
            echo "  ${tool%% *} is not installed"
            continue
        fi
        # shellcheck disable=SC2086
        theirs=$(best env LC_ALL=C.UTF-8 $tool "$pattern" "$log")
        [ "$sum" = "$(md5sum <"$home/found")" ] || { echo "  $tool found other lines" >&2; exit 1; }
        awk -v a="$ours" -v b="$theirs" -v tool="$tool" 'BEGIN { printf "  %-7s %d ms, ratio pmon/%s = %.2f\n", substr(tool, 1, 7), b, tool, a / (b ? b : 1) }'
    done
done
