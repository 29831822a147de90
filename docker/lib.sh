# shellcheck shell=sh
# What init and the services share. Sourced by dash and by busybox' shell; docs/container.md tells why each thing is as it is.
# shellcheck disable=SC2034 # used where this is sourced
lib=/usr/lib/self-update
ours=/run/self-update/private
dir=${UPDATE_DIR:-/data/self-update}
# Whatever image this was copied onto, the tools are ours. The app gets the image's own path; the services also runit's tools.
image_path=${PATH#"$lib/applets:"}
image_path=${image_path%":$lib/bin"}
export PATH="$lib/applets:$image_path"
baked=${UPDATE_BAKED_DIR:-/usr/share/self-update/baked}

# Whole seconds out of what the settings accept (90, 1.5, 90s, 5m, 1h), rounded up; $2 for anything else.
seconds() {
  amount=${1%[smhd]}
  whole=${amount%.*}
  case $whole in '' | *[!0-9]* | ???????*) echo "$2" && return ;; esac
  # 08 would be an octal number, and no good one.
  while :; do case $whole in 0?*) whole=${whole#0} ;; *) break ;; esac; done
  case $amount in *.*) whole=$((whole + 1)) ;; esac
  case $1 in
    *m) echo $((whole * 60)) ;;
    *h) echo $((whole * 3600)) ;;
    *d) echo $((whole * 86400)) ;;
    *) echo "$whole" ;;
  esac
}

uptime() {
  read -r up _ < /proc/uptime
  echo "${up%.*}"
}

# Opened for reading and writing, a FIFO never blocks, and it takes milliseconds where sv(8) takes 420.
control() {
  [ -p "$ours/service/$1/supervise/control" ] && printf %s "$2" 1<> "$ours/service/$1/supervise/control"
}

# $1: a service, or a service's log.
is_up() {
  read -r pid 2> /dev/null < "$ours/service/$1/supervise/pid" && [ -d "/proc/$pid" ]
}

# The app may start from now on; it need not wait for a check any more.
open_gate() {
  : > "$ours/gate"
  echo open 1<> "$ours/gate.fifo"
}

# The words by which runsv(8) sends UPDATE_STOP_SIGNAL and does not start the service again. Only "o" for a signal it can't send.
stop_word() {
  case $(echo "${UPDATE_STOP_SIGNAL:-TERM}" | tr '[:lower:]' '[:upper:]') in
    TERM | SIGTERM) echo d ;;
    INT | SIGINT) echo oi ;;
    HUP | SIGHUP) echo oh ;;
    QUIT | SIGQUIT) echo oq ;;
    USR1 | SIGUSR1) echo o1 ;;
    USR2 | SIGUSR2) echo o2 ;;
    KILL | SIGKILL) echo ok ;;
    *) echo o ;;
  esac
}

signal_group() {
  read -r group 2> /dev/null < "$ours/$1.group" && kill "-$2" "-$group" 2> /dev/null
}

# Runs a command that looks into processes of the app. Only their own user may; so that user does, with nothing of our environment, and
# what it could make us believe then hurts nobody else. It could stop the command too, so that has its time.
as_app() {
  user=
  [ ! -s "$ours/app.user" ] || read -r user < "$ours/app.user"
  timeout 2 "$lib/bin/env" -i "PATH=$PATH" ${user:+"$lib/bin/chpst" -u ":$user"} "$@"
}

# Sends a signal to processes of the app, wherever they went, and prints their pids; '' only prints them.
signal_strays() { timeout 2 "$lib/app-processes" "$ours" "$ours/app.lock" "$1"; }
