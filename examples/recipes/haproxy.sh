#!/bin/sh
# Takes this container's server out of an HAProxy backend before the app is stopped, and puts it back once the app is healthy
# again, new version or old.
#
#   UPDATE_PRE_STOP_CMD=/opt/recipes/haproxy.sh
#   UPDATE_POST_UPDATE_CMD=/opt/recipes/haproxy.sh
#   HAPROXY_API="haproxy 9999"      its runtime API: `stats socket ipv4@*:9999 level admin`, reached by nobody else
#   HAPROXY_SERVER=app/app1         backend/server
set -u

api() {
  # shellcheck disable=SC2086 # host and port
  echo "$1" | nc -w 3 $HAPROXY_API
}

sessions() { api 'show stat' | awk -F, -v server="$HAPROXY_SERVER" '$1 "/" $2 == server { print $5 }'; }

case $UPDATE_HOOK in
  pre-stop)
    # A proxy that can't be asked: the app is not interrupted now.
    [ -n "$(sessions)" ] || { echo "HAProxy at $HAPROXY_API does not know $HAPROXY_SERVER"; exit 1; }
    api "set server $HAPROXY_SERVER state drain" > /dev/null
    for _ in $(seq 60); do
      [ "$(sessions)" != 0 ] || exit 0
      sleep 1
    done
    # Somebody stays for long: not now.
    api "set server $HAPROXY_SERVER state ready" > /dev/null
    exit 75
    ;;
  post-update)
    api "set server $HAPROXY_SERVER state ready" > /dev/null
    ;;
esac
