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
extras() { services | grep -vx -e update -e app; }

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

# Whether runsv or anybody of the app's group is still there.
app_lives() { is_up app || { [ -n "$group" ] && kill -0 "-$group" 2> /dev/null; }; }

# $1: until when it may take.
stop_app() {
  deadline=$1
  word=$(stop_word)
  # Any other word would start an app that is down, and a run script at the gate takes no other
  # signal.
  [ -e "$ours/app.started" ] || word=d
  # Also when the app has ended, and left somebody behind.
  read -r group 2> /dev/null < "$ours/app.group" && kill -0 "-$group" 2> /dev/null || group=
  [ -z "$group" ] || begin_telling "$group" $(((began + deadline) / 2))
  control app "$word"
  # The leader only, as runsv does it.
  if [ "$word" = o ] && [ -n "$group" ]; then tell "$group"; else told=" $group "; fi
  # Until then app/finish may still be to run, which is the service's process as well.
  while app_lives || ! end_strays; do
    clock
    [ "$now" -lt "$deadline" ] || { kill_app; return; }
    [ -z "$group" ] || tell_rest
    sleep 0.02
  done
}

kill_app() {
  say "the app was still running after $(((now - began) / 100)) s; killing it"
  # Not by runsv's "k": read after the app's death, it makes runsv forget the finish script.
  signal_group app KILL
  signal_strays KILL > /dev/null
  wait_down $((now + 50)) app
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
