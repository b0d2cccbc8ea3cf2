#!/bin/sh
# Enrols with the token of the add-on's options, once, and runs. /data is what the add-on keeps.
set -eu
data=${HOLDFAST_ADDON_DATA:-/data}
state=$data/agent
if [ ! -e "$state/identity" ]; then
  # A token has no sign that JSON escapes.
  token=$(sed -n 's/.*"token"[^"]*"\(hf1\.[^"]*\)".*/\1/p' "$data/options.json")
  if [ -z "$token" ]; then
    echo "Make a token in the Holdfast server's pages, and put it into this add-on's configuration." >&2
    exit 1
  fi
  printf '%s\n' "$token" | holdfast-agent enroll --state-dir "$state" --restore-base /share/holdfast-restored -
fi
if [ -e /share/holdfast/policy.toml ]; then
  exec holdfast-agent run --state-dir "$state" --policy /share/holdfast/policy.toml
fi
exec holdfast-agent run --state-dir "$state"
