# shellcheck shell=sh
# How the container ends. Sourced by init.
# shellcheck source=docker/lib.sh
. /usr/lib/self-update/lib.sh

services() {
  for service in "$ours"/service/*/; do
    service=${service%/}
    echo "${service##*/}"
  done
}

# The other services than the updater and the app.
extras() { services | grep -vx -e update -e app; }

# Hundredths of a second since the machine's boot, into $now.
clock() {
  read -r up _ < /proc/uptime
  now=${up%.*}${up#*.}
}

# $1: until when, then services.
wait_down() {
  deadline=$1
  shift
  for name; do
    while is_up "$name"; do
      clock
      [ "$now" -lt "$deadline" ] || return 1
      sleep 0.02
    done
  done
}

# $1: until when it may take.
stop_app() {
  word=$(stop_word)
  # Any other word would start an app that is down, and a run script at the gate takes no other signal.
  [ -e "$ours/app.started" ] || word=d
  control app "$word"
  [ "$word" != o ] || signal_group app WINCH
  wait_down "$1" app && return
  say "the app was still running after $(((now - began) / 100)) s, and is killed"
  # Not by runsv's "k": read after the app's death, it makes runsv forget the finish script.
  signal_group app KILL
  wait_down $((now + 50)) app
}

# $1: runsvdir's pid. One total budget, SVWAIT; the last second of it is the other services'.
stop_all() {
  runsvdir=$1
  clock
  began=$now
  last=$((began + $(seconds "${SVWAIT:-}" 7) * 100))
  # The updater first: it must not start what is being stopped. It is crash-only, so it need not be waited for.
  control update d
  wait_down $((began + 50)) update || signal_group update KILL
  names=$(extras)
  if [ -n "$names" ] && [ $((last - began)) -gt 200 ]; then stop_app $((last - 100)); else stop_app "$last"; fi
  signal_strays KILL
  for name in $names; do control "$name" d; done
  clock
  [ "$last" -gt $((now + 100)) ] || last=$((now + 100))
  # shellcheck disable=SC2086 # names of services are words
  wait_down "$last" $names || for name in $names; do control "$name" k; done
  # Its runsv's end, and with them the log services, which read on until then.
  kill -HUP "$runsvdir" 2> /dev/null
  clock
  for name in $names; do wait_down $((now + 50)) "$name/log"; done
}
