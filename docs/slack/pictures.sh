#!/usr/bin/env bash
# Makes the images of docs/slack.md from docs/slack/*.json, which the test slack::pictures keeps to what is sent.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --quiet -p flowlord-testkit --example slack_page
page=${CARGO_TARGET_DIR:-target}/debug/examples/slack_page
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
for file in docs/slack/*.json; do
  name=$(basename "$file" .json)
  "$page" "$file" >"$profile/$name.html"
  # Twice: the first time only to measure how high the page is.
  browser() {
    chromium --headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update \
      --disable-sync --no-first-run --hide-scrollbars --user-data-dir="$profile/browser" "$@" 2>/dev/null
  }
  height=$(browser --dump-dom "file://$profile/$name.html" | grep -o 'data-height="[0-9]*"' | tr -dc 0-9)
  browser --window-size="680,$height" --screenshot="docs/slack/$name.png" "file://$profile/$name.html"
done
