#!/usr/bin/env bash
# Milestone 4 end to end: a training is cancelled, resumed at the next epoch, and its networks are those of the
# training that was never cancelled. The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M4 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"

echo "=== M4 E2E test: a training resumed at its epoch ==="

echo "Step 1: train to the end, as the measure"
whole="$(start_training)"
echo "  operation $whole"
await_status "$whole" COMPLETED "$FINISH_SECONDS"
wanted="$(operation "$whole" result.weights_sha256)"
echo "  weights $wanted"

echo "Step 2: start the same training and cancel it"
id="$(start_training)"
echo "  operation $id"
await_checkpoint "$id"
call "/operations/$id/cancel" -X POST >/dev/null
await_status "$id" CANCELLED 10
kept="$(operation "$id" checkpoint.epoch)"
expect "epoch it stopped at" "$(operation "$id" progress.detail.epoch)" "$kept"

echo "Step 3: resume: it goes on at the next epoch"
resume "$id"
deadline=$((SECONDS + 60))
until now="$(operation "$id" progress.detail.epoch)" && [ "$now" -gt "$kept" ]; do
    [ "$now" -eq "$kept" ] || fail "it went back to epoch $now; the checkpoint has $kept"
    [ "$SECONDS" -lt "$deadline" ] || fail "no epoch after $kept"
    sleep 0.1
done
echo "  epoch $kept, then $now"

echo "Step 4: its networks are the same"
await_status "$id" COMPLETED "$FINISH_SECONDS"
expect attempt "$(operation "$id" attempt)" 2
expect weights "$(operation "$id" result.weights_sha256)" "$wanted"

echo
echo "=== M4 E2E TEST PASSED ==="
