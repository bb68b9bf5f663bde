#!/bin/bash
# M7 E2E Test: Backend-Local Operations (Agent)

set -e

echo "=== M7 E2E Test: Backend-Local Operations ==="

# 1. Start agent design session
echo "Step 1: Start agent session..."
RESPONSE=$(curl -s -X POST http://localhost:8000/api/v1/agent/trigger \
    -H "Content-Type: application/json" \
    -d '{"trigger_reason": "start_new_cycle"}')
OP_ID=$(echo $RESPONSE | jq -r '.data.operation_id')
SESSION_ID=$(echo $RESPONSE | jq -r '.data.session_id')
echo "Started operation: $OP_ID, session: $SESSION_ID"

# 2. Wait for some progress (design phase)
echo "Step 2: Waiting for design progress..."
for i in {1..30}; do
    sleep 2
    STATUS=$(curl -s http://localhost:8000/api/v1/agent/status | jq -r '.data.phase')
    echo "  Phase: $STATUS"
    if [ "$STATUS" == "TRAINING" ]; then
        echo "Reached training phase"
        break
    fi
done

# 3. Restart backend
echo "Step 3: Restarting backend..."
docker-compose restart backend
sleep 10

# 4. Check operation status
echo "Step 4: Check operation status..."
OP_STATUS=$(curl -s http://localhost:8000/api/v1/operations/$OP_ID | jq -r '.data.status')
ERROR_MSG=$(curl -s http://localhost:8000/api/v1/operations/$OP_ID | jq -r '.data.error_message')
echo "Status: $OP_STATUS"
echo "Error: $ERROR_MSG"

# 5. Check checkpoint exists
CHECKPOINT=$(curl -s http://localhost:8000/api/v1/checkpoints/$OP_ID)
CP_EXISTS=$(echo $CHECKPOINT | jq -r '.success')
echo "Checkpoint exists: $CP_EXISTS"

# 6. Resume agent session
if [ "$CP_EXISTS" == "true" ]; then
    echo "Step 6: Resume agent session..."
    RESUME=$(curl -s -X POST http://localhost:8000/api/v1/operations/$OP_ID/resume)
    RESUME_SUCCESS=$(echo $RESUME | jq -r '.success')
    echo "Resume success: $RESUME_SUCCESS"
fi

if [ "$OP_STATUS" == "FAILED" ] && [ "$CP_EXISTS" == "true" ]; then
    echo ""
    echo "=== M7 E2E TEST PASSED ==="
else
    echo ""
    echo "=== M7 E2E TEST FAILED ==="
    exit 1
fi
