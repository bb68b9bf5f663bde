# Shell functions of the end-to-end scripts; sourced, never run.
#
#   BASE_URL         the backend                      (default http://localhost:8000)
#   RESTART_COMMAND  restarts it, then returns        (default docker-compose restart backend)
#   SIGNAL_COMMAND   sends a signal to a worker: its name and the executor_ref follow
#                    (default: kill, for a worker of this host)
#   READY_SECONDS    how long the restart may take    (default 60)
#   FINISH_SECONDS   how long the rest may take       (default 300)
#   KTRDR_TOKEN      sent as a bearer token when set

BASE_URL="${BASE_URL:-http://localhost:8000}"
RESTART_COMMAND="${RESTART_COMMAND:-docker-compose restart backend}"
SIGNAL_COMMAND="${SIGNAL_COMMAND:-signal_here}"
READY_SECONDS="${READY_SECONDS:-60}"
FINISH_SECONDS="${FINISH_SECONDS:-300}"
API="$BASE_URL/api/v1"
TITLE="${TITLE:-E2E}"

fail() {
    echo
    echo "=== $TITLE TEST FAILED: $* ===" >&2
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

# `operation ID FIELD`: one value of an operation.
operation() {
    call "/operations/$1" | field "data.$2"
}

# `expect WHAT FOUND WANTED`
expect() {
    echo "  $1: $2"
    [ "$2" = "$3" ] || fail "$1 should be '$3' and is '$2'"
}

restart_backend() {
    eval "$RESTART_COMMAND"
    local deadline=$((SECONDS + READY_SECONDS))
    until call /ready -f >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "the backend was not ready $READY_SECONDS seconds after its restart"
        sleep 0.5
    done
}

# `start_training [EPOCHS]`: starts a training that lasts for some seconds, or longer; prints its operation's id.
start_training() {
    local answer id
    answer="$(call /training/start -X POST -H 'Content-Type: application/json' -d '{
        "dataset": "nasdaq",
        "seed": 7,
        "strategy": {
            "name": "e2e",
            "version": "3.0",
            "training_data": {
                "symbols": {"mode": "single", "symbol": "NASDAQ"},
                "timeframes": {"mode": "single", "timeframe": "1d"},
                "history_required": 50
            },
            "indicators": {"rsi_14": {"type": "rsi", "period": 14}},
            "fuzzy_sets": {"rsi_state": {"indicator": "rsi_14", "low": [0, 25, 45], "high": [55, 75, 100]}},
            "nn_inputs": [{"fuzzy_set": "rsi_state", "timeframes": "all"}],
            "model": {"type": "mlp", "architecture": {"hidden_layers": [32], "activation": "relu"}},
            "decisions": {"output_format": "classification", "num_classes": 3},
            "training": {
                "epochs": '"${1:-400}"',
                "batch_size": 256,
                "learning_rate": 0.001,
                "labels": {"source": "forward_return", "horizon": 5},
                "walk_forward": {"folds": 3, "initial_fraction": 0.5},
                "ensemble": 1
            }
        }
    }')"
    id="$(field data.operation_id <<<"$answer")"
    [ "$id" != null ] || fail "no training was started: $answer"
    echo "$id"
}

# Starts a backtest of a training, with further parameters as JSON, say '"fee": 0.001'; prints its operation's id.
start_backtest() {
    local answer id
    answer="$(call /backtests/start -X POST -H 'Content-Type: application/json' \
        -d "{\"training_operation_id\": \"$1\"${2:+, $2}}")"
    id="$(field data.operation_id <<<"$answer")"
    [ "$id" != null ] || fail "no backtest was started: $answer"
    echo "$id"
}

# `await_checkpoint ID [bar]`: the training is in its epochs, or the backtest in its bars, and could be resumed.
await_checkpoint() {
    local deadline=$((SECONDS + 60)) unit="${2:-epoch}" answer
    while :; do
        answer="$(call "/operations/$1")"
        case "$(field data.status <<<"$answer")" in
            PENDING | RUNNING) ;;
            *) fail "it has ended already: $answer" ;;
        esac
        [ "$(field "data.checkpoint.$unit" <<<"$answer")" = null ] || break
        [ "$SECONDS" -lt "$deadline" ] || fail "no checkpoint after 60 seconds: $answer"
        sleep 0.2
    done
    echo "  attempt $(field data.attempt <<<"$answer"), checkpoint at $unit $(field "data.checkpoint.$unit" <<<"$answer")"
}

# `await_status ID STATUS SECONDS`
await_status() {
    local deadline=$((SECONDS + $3)) status
    while :; do
        status="$(operation "$1" status)"
        [ "$status" != "$2" ] || break
        case "$status" in
            COMPLETED | FAILED | CANCELLED) fail "$2 expected; it is $status: $(operation "$1" error_message)" ;;
        esac
        [ "$SECONDS" -lt "$deadline" ] || fail "still $status after $3 seconds; $2 expected"
        sleep 0.2
    done
    echo "  status $2"
}

# `signal_worker NAME ID`: send a signal to the process that runs an operation.
signal_worker() {
    local reference
    reference="$(operation "$2" executor_ref)"
    echo "  SIG$1 to $reference"
    "$SIGNAL_COMMAND" "$1" "$reference"
}

# executor_ref is local:host:pid:start time.
signal_here() {
    local kind host pid
    IFS=: read -r kind host pid _ <<<"$2"
    [ "$kind:$host" = "local:$(uname -n)" ] || fail "the worker $2 is not a process of this host; set SIGNAL_COMMAND"
    kill -s "$1" "$pid"
}

# `resume ID [bar]`
resume() {
    local answer unit="${2:-epoch}"
    answer="$(call "/operations/$1/resume" -X POST)"
    [ "$(field success <<<"$answer")" = true ] || fail "the resume was refused: $answer"
    echo "  resumed from $unit $(field "data.resumed_from.$unit" <<<"$answer")"
}
