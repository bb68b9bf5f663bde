#!/usr/bin/env bash
# Milestone 3 end to end: a training saves checkpoints as it goes, when it is cancelled, and when it fails.
# The failure is a file where the model has to go, so this reads one variable more than api.sh describes:
#   KTRDR_HOME   the backend's home, writable from here
set -euo pipefail
TITLE="M3 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"
[ -n "${KTRDR_HOME:-}" ] || fail "KTRDR_HOME has to name the backend's home"

# `expect_checkpoint ID TYPE`: it is of that type, at an epoch, and its files are what was saved.
expect_checkpoint() {
    local answer
    answer="$(call "/checkpoints/$1")"
    expect type "$(field data.checkpoint_type <<<"$answer")" "$2"
    expect integrity "$(field data.integrity <<<"$answer")" intact
    [ "$(field data.epoch <<<"$answer")" -ge 1 ] || fail "the checkpoint has no epoch: $answer"
    [ "$(field data.artifacts <<<"$answer")" != "{}" ] || fail "the checkpoint has no files: $answer"
    echo "  epoch $(field data.epoch <<<"$answer"), artifacts $(field data.artifacts <<<"$answer" | tr -s ' \n' ' ')"
}

echo "=== M3 E2E test: the checkpoints of a training ==="

echo "Step 1: it saves them as it goes"
id="$(start_training)"
echo "  operation $id"
await_checkpoint "$id"
expect_checkpoint "$id" periodic
first="$(operation "$id" checkpoint.epoch)"
deadline=$((SECONDS + 30))
until now="$(operation "$id" checkpoint.epoch)" && [ "$now" -gt "$first" ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no checkpoint after that of epoch $first"
    sleep 0.2
done
echo "  epoch $first, then $now"

echo "Step 2: it saves one when it is cancelled"
call "/operations/$id/cancel" -X POST >/dev/null
await_status "$id" CANCELLED 10
expect_checkpoint "$id" cancellation

echo "Step 3: it saves one when it fails"
id="$(start_training)"
echo "  operation $id"
in_the_way="$KTRDR_HOME/artifacts/$id.model"
mkdir -p "$KTRDR_HOME/artifacts"
touch "$in_the_way"
await_status "$id" FAILED "$FINISH_SECONDS"
expect code "$(operation "$id" error_code)" STORAGE_FAILED
expect_checkpoint "$id" failure
expect epoch "$(operation "$id" checkpoint.epoch)" "$(operation "$id" progress.detail.total_epochs)"

echo "Step 4: resume: the result is written, nothing is trained again"
rm "$in_the_way"
resume "$id"
await_status "$id" COMPLETED "$FINISH_SECONDS"
expect checkpoint "$(operation "$id" checkpoint)" null
echo "  weights $(operation "$id" result.weights_sha256)"

echo
echo "=== M3 E2E TEST PASSED ==="
