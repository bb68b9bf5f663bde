#!/usr/bin/env bash
# Milestone 6 end to end: a worker is asked to leave, saves a checkpoint, is resumed and completes.
# The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M6 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"

echo "=== M6 E2E test: a worker's graceful shutdown ==="

echo "Step 1: start a training"
id="$(start_training)"
echo "  operation $id"
await_checkpoint "$id"

echo "Step 2: SIGTERM to its worker"
signal_worker TERM "$id"
await_status "$id" CANCELLED 30
expect message "$(operation "$id" error_message)" "Graceful shutdown - checkpoint saved"
expect checkpoint "$(operation "$id" checkpoint.checkpoint_type)" shutdown

echo "Step 3: resume"
resume "$id"
await_status "$id" COMPLETED "$FINISH_SECONDS"
expect attempt "$(operation "$id" attempt)" 2
echo "  weights $(operation "$id" result.weights_sha256)"

echo
echo "=== M6 E2E TEST PASSED ==="
