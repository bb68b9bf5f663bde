#!/usr/bin/env bash
# Milestone 7 end to end: a session loses its backend in TRAINING, says so, resumes and completes.
# The variables that this reads are described in api.sh.
set -euo pipefail
TITLE="M7 E2E"
source "$(dirname "${BASH_SOURCE[0]}")/api.sh"
EXPECTED="Backend restarted - checkpoint available for resume"

echo "=== M7 E2E test: backend-local operations ==="

echo "Step 1: start a research session"
answer="$(call /agent/trigger -X POST -H 'Content-Type: application/json' -d '{"trigger_reason": "start_new_cycle"}')"
operation_id="$(field data.operation_id <<<"$answer")"
session_id="$(field data.session_id <<<"$answer")"
[ "$operation_id" != null ] || fail "no session was started: $answer"
echo "  operation $operation_id, session $session_id"

echo "Step 2: wait for TRAINING"
phase=none
for _ in {1..30}; do
    sleep 2
    phase="$(call /agent/status | field data.phase)"
    echo "  phase $phase"
    [ "$phase" != TRAINING ] || break
done
[ "$phase" = TRAINING ] || fail "TRAINING was not seen within 60 seconds"

echo "Step 3: restart the backend"
restart_backend

echo "Step 4: the operation tells what happened"
answer="$(call "/operations/$operation_id")"
status="$(field data.status <<<"$answer")"
message="$(field data.error_message <<<"$answer")"
echo "  status $status"
echo "  message $message"
[ "$status" = FAILED ] || fail "the operation should be FAILED and is $status"
[ "$message" = "$EXPECTED" ] || fail "the message should be '$EXPECTED'"

echo "Step 5: its checkpoint is there"
answer="$(call "/checkpoints/$operation_id")"
[ "$(field success <<<"$answer")" = true ] || fail "no checkpoint: $answer"
echo "  phase $(field data.state.phase <<<"$answer")"

echo "Step 6: resume"
answer="$(call "/operations/$operation_id/resume" -X POST)"
[ "$(field success <<<"$answer")" = true ] || fail "the resume was refused: $answer"
echo "  resumed from $(field data.resumed_from.phase <<<"$answer")"

echo "Step 7: the session completes"
deadline=$((SECONDS + FINISH_SECONDS))
while :; do
    answer="$(call "/operations/$operation_id")"
    status="$(field data.status <<<"$answer")"
    case "$status" in
        COMPLETED) break ;;
        FAILED | CANCELLED) fail "after the resume: $status, $(field data.error_message <<<"$answer")" ;;
    esac
    [ "$SECONDS" -lt "$deadline" ] || fail "still $status after $FINISH_SECONDS seconds"
    sleep 2
done
echo "  verdict $(field data.result.verdict <<<"$answer")"

echo
echo "=== M7 E2E TEST PASSED ==="
