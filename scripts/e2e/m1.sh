#!/usr/bin/env bash
# Milestone 1 end to end: a training goes on in its own process while the backend is restarted, and completes.
# The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M1 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"

echo "=== M1 E2E test: a worker outlives its backend ==="

echo "Step 1: start a training"
id="$(start_training)"
echo "  operation $id"
await_checkpoint "$id"
worker="$(operation "$id" executor_ref)"
before="$(operation "$id" progress.detail.epoch)"

echo "Step 2: restart the backend"
restart_backend

echo "Step 3: the same process goes on"
expect status "$(operation "$id" status)" RUNNING
expect worker "$(operation "$id" executor_ref)" "$worker"
deadline=$((SECONDS + 30))
until now="$(operation "$id" progress.detail.epoch)" && [ "$now" -gt "$before" ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no progress since epoch $before"
    sleep 0.2
done
echo "  epoch $before, then $now"

echo "Step 4: its result is taken"
await_status "$id" COMPLETED "$FINISH_SECONDS"
expect attempt "$(operation "$id" attempt)" 1
echo "  weights $(operation "$id" result.weights_sha256)"

echo
echo "=== M1 E2E TEST PASSED ==="
