# shellcheck shell=sh
# How the container ends. Sourced by init.
# shellcheck source=docker/lib.sh
. /usr/lib/self-update/lib.sh
# shellcheck source=docker/telling.sh
. /usr/lib/self-update/telling.sh

services() {
  for service in "$ours"/service/*/; do
    service=${service%/}
    echo "${service##*/}"
  done
}

# The other services than the updater and the app.
extras() {
  if has_slots; then services | grep -vx -e update -e app -e app2 -e app-notify
  else services | grep -vx -e update -e app; fi
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

# $1: until when it may take. Two copies end at the same time.
stop_app() {
  deadline=$1
  beside=
  if has_slots; then
    stop_slot app2 "$deadline" &
    beside=$!
  fi
  stop_slot app "$deadline"
  stopped=$?
  while [ -n "$beside" ] && kill -0 "$beside" 2> /dev/null; do
    wait "$beside"
    # A signal's, if one came: whoever is left is found below.
    [ "$?" != 1 ] || stopped=1
  done
  # Until then app/finish may still be to run, which is the service's process as well.
  { [ "$stopped" = 0 ] && end_strays; } || kill_app
}

kill_app() {
  clock
  say "the app was still running after $(((now - began) / 100)) s; killing it"
  # Not by runsv's "k": read after the app's death, it makes runsv forget the finish script.
  signal_group app KILL
  signal_group app2 KILL
  signal_strays KILL > /dev/null
  clock
  wait_down $((now + 50)) app
  ! has_slots || wait_down $((now + 50)) app2
}

# Daemons that left the group are told and waited for as well. False when there are some after the
# deadline.
end_strays() {
  name_signal
  strays=$(signal_strays "$signal") && [ -z "$strays" ] && return 0
  until strays=$(signal_strays '') && [ -z "$strays" ]; do
    clock
    [ "$now" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

# $1: runsvdir's pid. One total budget, SVWAIT; the last second of it is the other services'.
stop_all() {
  runsvdir=$1
  clock
  began=$now
  last=$((began + $(seconds "${SVWAIT:-}" 7) * 100))
  # The updater first: it must not start what is being stopped. It is crash-only, so it need not be
  # waited for.
  control update d
  wait_down $((began + 50)) update || signal_group update KILL
  names=$(extras)
  if [ -n "$names" ] && [ $((last - began)) -gt 200 ]; then stop_app $((last - 100)); else stop_app "$last"; fi
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
