#!/usr/bin/env bash
# Milestone 8 end to end: ten resumes at once, a cleanup that takes what stopped and nothing else, and what the
# command line shows of it. The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M8 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"

# `clean_up BODY FIELD`
clean_up() {
    call /checkpoints/cleanup -X POST -H 'Content-Type: application/json' -d "$1" | field "data.$2" | tr -d ' \n'
}

# `cancel ID`
cancel() {
    call "/operations/$1/cancel" -X POST >/dev/null
    await_status "$1" CANCELLED 30
}

echo "=== M8 E2E test: concurrent resume and cleanup ==="

echo "Step 1: a training stops with a checkpoint"
stopped="$(start_training)"
echo "  operation $stopped"
await_checkpoint "$stopped"
cancel "$stopped"

echo "Step 2: another one runs"
running="$(start_training 10000)" # it goes on until it is cancelled
echo "  operation $running"
await_checkpoint "$running"

echo "Step 3: what could be resumed is shown"
if command -v ktrdr >/dev/null; then
    shown="$(COLUMNS=160 KTRDR_URL="$BASE_URL" ktrdr operations list)"
    grep -q "^ID .*CHECKPOINT.*AGE" <<<"$shown" || fail "no columns CHECKPOINT and AGE: $shown"
    grep -q "^1 can be resumed: ktrdr operations resume ID" <<<"$shown" || fail "not 1 to resume: $shown"
    grep "^$stopped" <<<"$shown" | grep -q "epoch " || fail "no epoch of $stopped: $shown"
    echo "  $(tail -n 1 <<<"$shown")"
fi
expect resumable "$(call /checkpoints/statistics | field data.resumable)" 1
expect "a cleanup would take" "$(clean_up '{"older_than_days": 0, "dry_run": true}' deleted)" "[\"$stopped\"]"

echo "Step 4: ten resumes at once"
answers="$(for _ in {1..10}; do
    call "/operations/$stopped/resume" -X POST -o /dev/null -w '%{http_code}\n' &
done; wait)"
expect "accepted" "$(grep -c '^200$' <<<"$answers")" 1
expect "refused" "$(grep -c '^409$' <<<"$answers")" 9

echo "Step 5: a cleanup of everything takes nothing from what waits or runs"
expect deleted "$(clean_up '{"older_than_days": 0}' deleted)" "[]"
[ "$(operation "$running" checkpoint.epoch)" != null ] || fail "the running training lost its checkpoint"
[ "$(operation "$stopped" checkpoint.epoch)" != null ] || fail "the resumed training lost its checkpoint"

echo "Step 6: nor what stopped a minute ago, unless it is told to"
cancel "$stopped"
expect "deleted after 30 days" "$(clean_up '{}' deleted)" "[]"
expect "deleted at once" "$(clean_up '{"older_than_days": 0}' deleted)" "[\"$stopped\"]"
expect "a resume finds" "$(call "/operations/$stopped/resume" -X POST | field error.code)" CHECKPOINT_NOT_FOUND
expect "the last cleanup took" \
    "$(call /checkpoints/statistics | field data.last_cleanup.deleted | tr -d ' \n')" "[\"$stopped\"]"

echo "Step 7: the other one has gone on at its first attempt, and can be resumed"
cancel "$running"
expect attempt "$(operation "$running" attempt)" 1
expect resumable "$(operation "$running" resumable)" true

echo
echo "=== M8 E2E TEST PASSED ==="
