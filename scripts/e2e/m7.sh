#!/usr/bin/env bash
# Milestone 7 end to end: a session loses its backend in TRAINING, says so, resumes and completes.
#
#   BASE_URL         the backend                      (default http://localhost:8000)
#   RESTART_COMMAND  restarts it, then returns        (default docker-compose restart backend)
#   READY_SECONDS    how long the restart may take    (default 60)
#   FINISH_SECONDS   how long the rest may take       (default 300)
#   KTRDR_TOKEN      sent as a bearer token when set
set -euo pipefail

BASE_URL="${BASE_URL:-http://localhost:8000}"
RESTART_COMMAND="${RESTART_COMMAND:-docker-compose restart backend}"
READY_SECONDS="${READY_SECONDS:-60}"
FINISH_SECONDS="${FINISH_SECONDS:-300}"
API="$BASE_URL/api/v1"
EXPECTED="Backend restarted - checkpoint available for resume"

fail() {
    echo
    echo "=== M7 E2E TEST FAILED: $* ===" >&2
    exit 1
}

# Reads JSON on stdin and prints one value by its path, e.g. `field data.status`; "null" when it is not there.
field() {
    if command -v jq >/dev/null; then
        jq -r ".$1"
    else
        python3 -c 'import functools, json, sys
value = functools.reduce(lambda found, key: (found or {}).get(key), sys.argv[1].split("."), json.load(sys.stdin))
print(value if isinstance(value, str) else json.dumps(value))' "$1"
    fi
}

call() {
    local path="$1"
    shift
    curl -sS --max-time 30 ${KTRDR_TOKEN:+-H "Authorization: Bearer $KTRDR_TOKEN"} "$@" "$API$path"
}

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
eval "$RESTART_COMMAND"
deadline=$((SECONDS + READY_SECONDS))
until call /ready -f >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "the backend was not ready $READY_SECONDS seconds after its restart"
    sleep 0.5
done

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
