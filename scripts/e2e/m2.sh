#!/usr/bin/env bash
# Milestone 2 end to end: a worker is killed, its operation says so, is resumed and completes.
# The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M2 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"

echo "=== M2 E2E test: a killed worker ==="

echo "Step 1: start a training"
id="$(start_training)"
echo "  operation $id"
await_checkpoint "$id"

echo "Step 2: kill its worker"
signal_worker KILL "$id"
await_status "$id" FAILED 6
expect message "$(operation "$id" error_message)" "Worker became unavailable - checkpoint available for resume"

echo "Step 3: resume"
resume "$id"
await_status "$id" COMPLETED "$FINISH_SECONDS"
expect attempt "$(operation "$id" attempt)" 2
echo "  weights $(operation "$id" result.weights_sha256)"

echo
echo "=== M2 E2E TEST PASSED ==="
