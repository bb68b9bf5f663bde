#!/usr/bin/env bash
# Runs the end-to-end scripts, or those that are named (`run_local.sh m2 m7`), each against a backend of this
# checkout of its own: free port, scratch home, restart by SIGKILL.
# PYTHON names the interpreter (default: the first `python` on PATH). KEEP=1 keeps the scratch home.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
if [ $# -eq 0 ]; then set -- m1 m2 m3 m4 m5 m6 m7 m8; fi
if [ $# -gt 1 ]; then
    for name in "$@"; do bash "${BASH_SOURCE[0]}" "$name"; done
    exit
fi
scratch="$(mktemp -d "${TMPDIR:-/tmp}/ktrdr-e2e.XXXXXX")"
python="$(command -v "${PYTHON:-python}")"

# The settings of whoever runs this are not this backend's.
for name in $(compgen -e KTRDR_ || true); do unset "$name"; done
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
export KTRDR_HOME="$scratch/home"
KTRDR_PORT="$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
export KTRDR_PORT

# The workers this home still has: they outlive their backend, so the database is asked for them.
stop_workers() {
    [ -f "$KTRDR_HOME/ktrdr.db" ] || return 0
    "$python" - "$KTRDR_HOME/ktrdr.db" <<'PY'
import sqlite3
import sys

import psutil

query = "SELECT executor_ref FROM operations WHERE status = 'RUNNING' AND executor_ref IS NOT NULL"
for (reference,) in sqlite3.connect(sys.argv[1]).execute(query):
    *_, pid, started = reference.split(":")
    try:
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(started)) < 1:
            process.kill()
    except psutil.NoSuchProcess:
        pass
PY
}

clean_up() {
    local status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$scratch/backend.log" >&2 || true
    fi
    [ ! -f "$scratch/backend.pid" ] || kill -9 "$(cat "$scratch/backend.pid")" 2>/dev/null || true
    stop_workers || true
    if [ "${KEEP:-}" = 1 ]; then
        echo "kept: $scratch"
    else
        rm -rf "$scratch"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

cat >"$scratch/restart.sh" <<RESTART
#!/usr/bin/env bash
set -euo pipefail
if [ -f "$scratch/backend.pid" ]; then
    pid="\$(cat "$scratch/backend.pid")"
    kill -9 "\$pid"
    # A killed process is gone once it can't be signalled, or is a zombie its parent has yet to collect.
    while kill -0 "\$pid" 2>/dev/null && ! ps -o stat= -p "\$pid" | grep -q Z; do sleep 0.05; done
fi
"$python" -m ktrdr.api >>"$scratch/backend.log" 2>&1 </dev/null &
echo \$! >"$scratch/backend.pid"
RESTART

export BASE_URL="http://127.0.0.1:$KTRDR_PORT"
export RESTART_COMMAND="bash '$scratch/restart.sh'"

bash "$scratch/restart.sh"
for _ in {1..120}; do
    ! curl -sf "$BASE_URL/api/v1/ready" >/dev/null || break
    sleep 0.25
done
bash "$root/scripts/e2e/$1.sh"
