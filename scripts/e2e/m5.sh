#!/usr/bin/env bash
# Milestone 5 end to end: a backtest is cancelled in its middle, resumed, its worker killed, resumed again; its trades
# and its equity are those of the backtest that nothing stopped. The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M5 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"

BARS_PER_SECOND="${BARS_PER_SECOND:-200}" # so slow that its middle can be hit

# `await_bar ID AFTER`: the simulation has gone on beyond a bar, and never back before it.
await_bar() {
    local deadline=$((SECONDS + 60)) bar
    until bar="$(operation "$1" progress.detail.bar)" && [ "$bar" != null ] && [ "$bar" -gt "$2" ]; do
        [ "$bar" = null ] || [ "$bar" -ge "$2" ] || fail "it went back to bar $bar; the checkpoint has $2"
        [ "$SECONDS" -lt "$deadline" ] || fail "no bar after $2"
        sleep 0.1
    done
    echo "  bar $2, then $bar"
}

echo "=== M5 E2E test: a backtest resumed at its bar ==="

echo "Step 1: train, and backtest to the end, as the measure"
training="$(start_training)"
echo "  operation $training"
await_status "$training" COMPLETED "$FINISH_SECONDS"
whole="$(start_backtest "$training")"
echo "  operation $whole"
await_status "$whole" COMPLETED "$FINISH_SECONDS"
trades="$(operation "$whole" result.trades_sha256)"
equity="$(operation "$whole" result.equity_sha256)"
echo "  $(operation "$whole" result.metrics.trades) trades over $(operation "$whole" result.bars) bars"
echo "  trades $trades"
echo "  equity $equity"

echo "Step 2: start the same backtest, slower, and cancel it in its middle"
id="$(start_backtest "$training" "\"bars_per_second\": $BARS_PER_SECOND")"
echo "  operation $id"
await_checkpoint "$id" bar
call "/operations/$id/cancel" -X POST >/dev/null
await_status "$id" CANCELLED 10
kept="$(operation "$id" checkpoint.bar)"
expect "bar it stopped at" "$(operation "$id" progress.detail.bar)" "$kept"

echo "Step 3: resume: it goes on at the next bar; then its worker is killed"
resume "$id" bar
await_bar "$id" "$kept"
signal_worker KILL "$id"
await_status "$id" FAILED 60
kept_later="$(operation "$id" checkpoint.bar)"
[ "$kept_later" -ge "$kept" ] || fail "the checkpoint went back from bar $kept to $kept_later"

echo "Step 4: resume again: its trades and its equity are the same"
resume "$id" bar
await_status "$id" COMPLETED "$FINISH_SECONDS"
expect attempt "$(operation "$id" attempt)" 3
expect trades "$(operation "$id" result.trades_sha256)" "$trades"
expect equity "$(operation "$id" result.equity_sha256)" "$equity"

echo
echo "=== M5 E2E TEST PASSED ==="
