#!/usr/bin/env bash
# The containers end to end: builds the images, starts compose.yaml under a name of its own, and shows that a training on
# the Ray node outlives `docker-compose restart backend` as well as SIGKILL, and that the node's own restart costs no epoch.
# Needs docker-compose, curl and jq; port 8000 has to be free.
#
#   PIP_OPTIONS      further options for pip in the builds
#   PIP_FIND_LINKS   pip's own: if it is a directory, the builds are offered its wheels too
#   READY_SECONDS    how long a start may take             (default 120)
#   FINISH_SECONDS   how long the rest of a session may take   (default 300)
#   KEEP=1           leaves the containers and their volumes
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root" # the seed's script calls docker-compose with neither file nor project

# The settings of whoever runs this are not these containers'. Secrets of this run prove that none is written down anywhere.
for name in $(compgen -e KTRDR_ || true); do unset "$name"; done
export COMPOSE_PROJECT_NAME="ktrdr-e2e-$$"
export POSTGRES_PASSWORD RAY_AUTH_TOKEN
POSTGRES_PASSWORD="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
RAY_AUTH_TOKEN="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
unset COMPOSE_FILE BASE_URL RESTART_COMMAND

export READY_SECONDS="${READY_SECONDS:-120}" FINISH_SECONDS="${FINISH_SECONDS:-300}"
TITLE="COMPOSE E2E"
source scripts/e2e/api.sh

lent=()
started=
scratch="$(mktemp -d "${TMPDIR:-/tmp}/ktrdr-compose.XXXXXX")"

return_wheels() {
    [ "${#lent[@]}" -eq 0 ] || rm -f "${lent[@]}"
}

clean_up() {
    local status=$?
    trap - EXIT
    return_wheels
    if [ -n "$started" ]; then
        [ "$status" -eq 0 ] || docker-compose logs --tail 60 >&2 || true
        if [ "${KEEP:-}" = 1 ]; then
            echo "kept: project $COMPOSE_PROJECT_NAME"
        else
            docker-compose down -v >/dev/null 2>&1 || echo "docker-compose down failed for $COMPOSE_PROJECT_NAME" >&2
        fi
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# A link costs nothing; across file systems it has to be a copy.
lend_wheels() {
    local wheel target
    [ -d "${PIP_FIND_LINKS:-}" ] || return 0
    for wheel in "$PIP_FIND_LINKS"/*.whl; do
        target="wheels/${wheel##*/}"
        if [ -e "$wheel" ] && [ ! -e "$target" ]; then
            lent+=("$target")
            ln "$wheel" "$target" 2>/dev/null || cp "$wheel" "$target"
        fi
    done
}

wait_until_ready() {
    local deadline=$((SECONDS + READY_SECONDS))
    until curl -sf --max-time 5 "$API/ready" >/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "the backend was not ready after $READY_SECONDS seconds"
        sleep 0.5
    done
}

wait_for() {
    local id="$1" wanted="$2" seconds="$3" status deadline
    deadline=$((SECONDS + seconds))
    while :; do
        status="$(operation "$id" status)"
        [ "$status" != "$wanted" ] || return 0
        case "$status" in
            COMPLETED | FAILED | CANCELLED) fail "$id is $status, not $wanted: $(operation "$id" error_message)" ;;
        esac
        [ "$SECONDS" -lt "$deadline" ] || fail "$id is still $status after $seconds seconds"
        sleep 0.5
    done
}

newest_session() {
    call "/operations?type=agent_research" |
        jq -r '[.data[] | select(.operation_type == "agent_research")] | max_by(.created_at) | .operation_id'
}

# A training that was started twice has a second attempt; one that went on has not.
check_that_training_survived() {
    local attempt
    [ "$(operation "$1.training" status)" = COMPLETED ] || fail "$1.training is $(operation "$1.training" status)"
    attempt="$(operation "$1.training" attempt)"
    [ "$attempt" = 1 ] || fail "the training was started again: attempt $attempt"
    echo "  the training went on in the worker it had: $(operation "$1.training" executor_ref), attempt $attempt"
}

# m7.sh calls this once the session is in TRAINING.
kill_backend_in_training() {
    local training
    training="$(newest_session).training"
    wait_for "$training" RUNNING 60
    operation "$training" executor_ref >"$scratch/worker"
    docker-compose kill -s SIGKILL backend
    docker-compose up -d backend
}

echo "=== Build ==="
lend_wheels
docker-compose build backend
docker-compose build ray # one after the other: they share their stages
return_wheels

! curl -s --max-time 5 "$API/health" >/dev/null || fail "something else listens on port 8000"

echo "=== Start ==="
started=yes
docker-compose up -d
wait_until_ready

echo "=== docker-compose restart backend: the script of milestone 7, to the letter ==="
bash scripts/e2e/m7_seed.sh
session="$(newest_session)"
wait_for "$session" COMPLETED "$FINISH_SECONDS"
check_that_training_survived "$session"

echo "=== docker-compose kill -s SIGKILL backend ==="
export -f kill_backend_in_training newest_session wait_for
export scratch
RESTART_COMMAND=kill_backend_in_training bash scripts/e2e/m7.sh
session="$(newest_session)"
check_that_training_survived "$session"
[ "$(operation "$session.training" executor_ref)" = "$(cat "$scratch/worker")" ] || fail "another worker finished the training"

echo "=== docker-compose restart ray: the workers save before the node goes ==="
session="$(call /agent/trigger -X POST -H 'Content-Type: application/json' -d '{"trigger_reason": "start_new_cycle"}' |
    jq -r .data.operation_id)"
wait_for "$session.training" RUNNING 120
docker-compose restart ray
wait_for "$session.training" CANCELLED 20
echo "  training: $(operation "$session.training" error_message)"
wait_for "$session" FAILED 20
call "/operations/$session/resume" -X POST | jq -e .success >/dev/null || fail "the resume was refused"
wait_for "$session" COMPLETED "$FINISH_SECONDS"
[ "$(operation "$session.training" attempt)" = 2 ] || fail "the training did not go on in a second attempt"

echo
echo "=== COMPOSE E2E TEST PASSED ==="
