#!/usr/bin/env bash
# A worker in one line: `flowlord work` leases, sends heartbeats and posts results; the command does the work.
#
#   examples/workers/with-flowlord-work.sh [TOPIC] [further options of flowlord work]
#
# FLOWLORD names the program where it isn't in PATH, FLOWLORD_SERVER the service.
set -euo pipefail

topic=${1:-load}
shift || true

# In the command's arguments {info}, {job} and {meta:KEY} are replaced. No shell sees them, so they need no quoting
# beyond that of this script. The task is also on stdin as JSON, and in the environment as FLOWLORD_INFO and so on.
#   exit 0   complete     exit 75   alert: people are told at once
#   exit 76  warn         other     error: tried again, then an alert with the last line of stderr
# A last line of stdout `meta key=value&...` is merged into the task's meta: its children can use it.
exec "${FLOWLORD:-flowlord}" work --topic "$topic" "$@" -- \
  bash -c '
    set -euo pipefail
    file=${1%%\?*} # the template of load:orders is "{meta:file}?hour=..."
    echo "loading $file, attempt $FLOWLORD_ATTEMPT" >&2
    [[ -n $file ]] || { echo "no file in $1" >&2; exit 75; }
    sleep 0.3
    echo "meta rows=$((RANDOM % 1000))&table=orders"
  ' load '{info}'
