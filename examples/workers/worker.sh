#!/usr/bin/env bash
# A flowlord worker in bash and curl, as small as the protocol allows. Needs curl and jq.
#
#   examples/workers/worker.sh --topic report
#   examples/workers/worker.sh --server http://flowlord:8080 --topic load:orders
#
# For real work, `flowlord work` (see with-flowlord-work.sh) does all of this, and more.
set -euo pipefail

server=${FLOWLORD_SERVER:-http://127.0.0.1:8080}
topic=
while (($#)); do
  case $1 in
    --server) server=$2; shift 2 ;;
    --topic) topic=$2; shift 2 ;;
    *) echo "usage: $0 [--server URL] --topic TOPIC[:JOB]" >&2; exit 2 ;;
  esac
done
[[ -n $topic ]] || { echo "usage: $0 [--server URL] --topic TOPIC[:JOB]" >&2; exit 2; }
api=${server%/}/api/v1

# What a task needs. $1 is its info, $2 its job; stdout becomes meta, and a failure its message.
work() {
  echo "working on $2 $1" >&2
  sleep 0.3
  echo "rows=$((RANDOM % 1000))"
}

# Posts JSON ($2) to a path ($1); prints the answer. What is worth it, curl tries again: no connection, 408, 429, 5xx.
post() {
  curl --silent --show-error --fail --retry 8 --retry-connrefused --max-time 60 \
    --header 'Content-Type: application/json' --data "$2" "$api$1"
}

stop=
trap 'stop=yes' TERM INT

while [[ -z $stop ]]; do
  # 1. Wait up to 8 s for a task, which is also how long a stop takes at worst. An empty list means: none yet, ask again.
  wanted=$(jq -n --arg topic "$topic" --arg worker "$HOSTNAME-$$" \
    '{topics: [$topic], worker: $worker, max: 1, wait: "8s", lease: "60s"}')
  leased=$(post /lease "$wanted") || { sleep 2; continue; }
  lease=$(jq -r '.tasks[0].lease // empty' <<<"$leased")
  [[ -n $lease ]] || continue
  info=$(jq -r '.tasks[0].task.info' <<<"$leased")
  job=$(jq -r '.tasks[0].task.job // ""' <<<"$leased")

  # 2. Say every 20 s that the work goes on: after 60 s of silence another worker gets the task.
  (while sleep 20; do post "/lease/$lease/heartbeat" '{}' >/dev/null || exit; done) &
  heartbeat=$!

  # 3. Work, and post how it ended: complete, error (tried again), warn, or alert (told at once).
  if meta=$(work "$info" "$job"); then
    result=$(jq -n --arg meta "$meta" '{result: "complete", meta: $meta}')
  else
    result=$(jq -n --arg msg "exit code $?" '{result: "error", msg: $msg}')
  fi
  kill "$heartbeat" 2>/dev/null || true
  wait "$heartbeat" 2>/dev/null || true
  # 409 lease_lost: the task is another worker's by now, and there is nothing left to say.
  post "/lease/$lease/result" "$result" >/dev/null || echo "the result was not taken" >&2
done
