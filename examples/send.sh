#!/bin/sh
# Sends an event and keeps it until it was taken: a 503 says that it was not, and when to ask again.
#
#   examples/send.sh URL TOPIC [LEVEL] < payload        URL such as http://127.0.0.1:8080/sn
#
# The id is ours and the same in each attempt: who reads the topic can tell a repeat from a new event.
set -eu
url=${1:?usage: send.sh URL TOPIC [LEVEL] < payload} topic=${2:?which topic?} level=${3:-info}
id=$(cat /proc/sys/kernel/random/uuid)
payload=$(mktemp)
trap 'rm -f "$payload"' EXIT
cat >"$payload"

# curl itself repeats on 503 and on a connection that fails, and waits as Retry-After says.
answer=$(curl -sS --retry 10 --retry-connrefused --retry-max-time 120 -w '\n%{http_code}' \
    --data-binary "@$payload" -H 'Content-Type: application/octet-stream' \
    --url-query "topic=$topic" --url-query "level=$level" --url-query "id=$id" "$url/log")
status=${answer##*
}
case $status in
204) echo "$id" ;;
*) echo "not taken: $answer" >&2; exit 1 ;;
esac
