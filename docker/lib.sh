# shellcheck shell=sh
# What init and the services share. Sourced by dash and by busybox' shell; docs/container.md tells
# why each thing is as it is.
# shellcheck disable=SC2034 # used where this is sourced
lib=/usr/lib/self-update
ours=/run/self-update/private
dir=${UPDATE_DIR:-/data/self-update}
# What is ours only we may write, whatever umask the container began with. The app gets that one
# back.
given_umask=$(umask)
umask 022
# Whatever image this was copied onto, the tools are ours. The app gets the image's own path; the
# services also runit's tools.
image_path=${PATH#"$lib/applets:"}
image_path=${image_path#"$lib/runit:"}
image_path=${image_path%":$lib/bin"}
export PATH="$lib/applets:$image_path"
# Whoever has a terminal open can stop its output: a person by Ctrl-S, the app by tcflow(3). A write
# then waits, and with it an update, or the end. So where standard error is a terminal, ours is one
# that was opened anew and never waits: what it does not take is lost. What the app and other
# services inherit is another again, and waits as ever.
never_wait() {
  if [ ! -t 2 ] || [ ! -w /proc/self/fd/2 ] || [ ! -r /proc/self/fd/2 ]; then return; fi
  exec 2<> /proc/self/fd/2
  "$lib/bin/dd" if=/dev/null oflag=nonblock status=none >&2
}
wait_again() {
  if [ -t 2 ] && [ -w /proc/self/fd/2 ] && [ -r /proc/self/fd/2 ]; then exec 2<> /proc/self/fd/2; fi
}
baked=${UPDATE_BAKED_DIR:-/usr/share/self-update/baked}

# Whole seconds out of what the settings accept (90, 1.5, 90s, 5m, 1h), rounded up; $2 for anything
# else.
seconds() {
  amount=${1%[smhd]}
  whole=${amount%.*}
  case $whole in '' | *[!0-9]* | ???????*) echo "$2" && return ;; esac
  # 08 would be an octal number, and no good one.
  while :; do case $whole in 0?*) whole=${whole#0} ;; *) break ;; esac; done
  case $amount in *.*) whole=$((whole + 1)) ;; esac
  case $1 in
    *m) whole=$((whole * 60)) ;;
    *h) whole=$((whole * 3600)) ;;
    *d) whole=$((whole * 86400)) ;;
  esac
  # A year at most, so that sums stay small.
  echo $((whole < 31536000 ? whole : 31536000))
}

uptime() {
  read -r up _ < /proc/uptime
  echo "${up%.*}"
}

# Opened for reading and writing, a FIFO never blocks, and it takes milliseconds where sv(8) takes
# 420.
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

# The words by which runsv(8) sends UPDATE_STOP_SIGNAL and does not start the service again. Only
# "o" for a signal it can't send.
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

# Runs a command that looks into processes of the app. Only their own user may; so that user does,
# with nothing of our environment, and what it could make us believe then hurts nobody else. It
# could stop the command too, so that has its time; or have it start something, so that has a
# session of its own (chpst -P), by which app-processes knows whose it is. And it could trace it,
# and never look at its end, which keeps even a dead one from who waits for it: so a shell of root's
# waits, which has its time too.
as_app() {
  user=
  [ ! -s "$ours/app.user" ] || read -r user < "$ours/app.user"
  if [ -z "$user" ]; then set -- timeout -s KILL 2 "$lib/bin/env" -i "PATH=$PATH" "$@"
  else set -- timeout -s KILL 2 "$lib/bin/env" -i "PATH=$PATH" "$lib/bin/dash" -c '"$@"; exit "$?"' sh timeout -s KILL 2 "$lib/bin/chpst" -P -u ":$user" "$@"; fi
  "$@"
}

# Sends a signal to processes of the app, wherever they went, and prints their pids; '' only prints
# them. $2: only those of the copy in this slot, as far as that can be told.
signal_strays() { timeout -s KILL 2 "$lib/app-processes" "$ours" "$1" "${2-}"; }

# The strategy hand-over has two slots, the services app and app2. The one that is not the app's has
# a file `down`, so that a killed runsv starts nothing there.
has_slots() { [ -d "$ours/service/app2" ]; }
other_slot() { if [ "$1" = app ]; then echo app2; else echo app; fi; }

# Sets `tree` to what the live copy in slot $1 was started from.
copy_runs() {
  read -r pid tree 2> /dev/null < "$ours/$1.started" && [ -n "$tree" ] && kill -0 "$pid" 2> /dev/null
}

# Into `version` what the live copy in slot $1 is, where there is one. A tree is named by its version,
# and so is what the image brings.
running_version() {
  copy_runs "$1" || return
  version=${tree##*/}
  case $tree in "$baked"/*) ;; *) version=${version%-????????????} ;; esac
}

# Whether a copy runs in slot $1, or may begin to: as RunitSupervisor has it.
slot_in_use() {
  if read -r group 2> /dev/null < "$ours/$1.group" && kill -0 "-$group" 2> /dev/null; then return 0; fi
  if is_up "$1"; then return 0; fi
  ! [ -e "$ours/service/$1/down" ]
}

# Into `slot` which one is the app: whose live copy is what `current` names; else the one that a new
# runsv would start.
find_app_slot() {
  slot=app
  has_slots || return 0
  current=$(cd -P "$dir/current" 2> /dev/null && pwd -P)
  [ -e "$ours/service/app2/down" ] || [ ! -e "$ours/service/app/down" ] || slot=app2
  if copy_runs "$slot" && [ "$tree" = "$current" ]; then return 0; fi
  other=$(other_slot "$slot")
  if copy_runs "$other" && [ "$tree" = "$current" ]; then slot=$other; fi
}

# Root never works in a place that the app can change. Whoever owns a directory, or may write it,
# can exchange what lies in it, and would have root write where it likes. So root's own place is
# entered only through directories that root owns, and that nobody else may write, but for a sticky
# one. They are looked at from / down: what was found so stays so, since only root could change it;
# then their names are as good as descriptors. docs/container.md, "Root's own place".

# Sets `way`, $1 without links, and `problem`: what keeps root from going along it, and the remedy;
# empty for nothing. $2, if given: the last part itself may be writable, and look_inside sees to it:
# the sticky bit, put before that looks, keeps what it finds from being exchanged.
look_along() {
  hops=0
  look_on "$1" "${2-}"
}

look_on() {
  way=
  problem=
  rest=$1/
  spared=${2-}
  set -- /
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    rest=${rest#*/}
    case $part in '' | .) continue ;; esac
    way=$way/$part
    set -- "$@" "$way"
  done
  # One process looks at all of them, in this order. What is not there yet has no line.
  while read -r uid mode name; do
    mode=$((0x${mode:-0}))
    if [ "$uid" != 0 ]; then
      [ -n "$uid" ] || continue
      problem="$name belongs to user $uid, who could exchange what root keeps below it: run \`chown 0:0 $name\` as root, here (docker exec) or on the host"
      return
    fi
    # Root's own link in a safe directory is fine, where it leads along such directories itself.
    if [ $((mode & 0xF000)) = 40960 ]; then
      hops=$((hops + 1))
      [ "$hops" -lt 20 ] || { problem="$name is a link that leads in circles: remove it"; return; }
      target=$(readlink "$name")
      case $target in /*) ;; *) target=${name%/*}/$target ;; esac
      look_on "$target${way#"$name"}" "$spared"
      return
    fi
    # In a sticky directory entries are their owners' to move.
    if [ $((mode & 022)) != 0 ] && [ $((mode & 01000)) = 0 ]; then
      chmod +t "$name" 2> /dev/null && continue
      [ -z "$spared" ] || [ "$name" != "$way" ] || continue
      problem="other users may write $name, and could exchange what root keeps in it: run \`chmod go-w $name\` as root, on the host if it can't be done here"
      return
    fi
    # The app has to pass here to its version. A bind mount is often its owner's alone.
    [ $((mode & 0xF001)) != 16384 ] || chmod o+x "$name" 2> /dev/null
  done << END
$(stat -c '%u %f %n' "$@" 2> /dev/null)
END
}

# What lies in root's own place, as far as root trusts it by name: nobody else's, and no links but
# its own two. What others may write, as Kubernetes' fsGroup makes it at every mount, is made root's
# alone again. $way: the place.
look_inside() {
  writable=
  while read -r uid mode name; do
    mode=$((0x${mode:-0}))
    if [ "$uid" != 0 ]; then
      [ -n "$uid" ] || continue
      problem="$name belongs to user $uid, and root can't trust it: run \`mv $way $way.old\` as root to begin anew, or \`chown -Rh 0:0 $way\` if you do"
      return
    fi
    if [ $((mode & 0xF000)) = 40960 ]; then
      case $name in "$way/current" | "$way/last-good" | *.tmp) continue ;; esac
      problem="$name is a link, and root would follow it: run \`rm $name\` as root"
      return
    fi
    [ $((mode & 022)) = 0 ] || writable=1
  done << END
$(stat -c '%u %f %n' "$way" "$way"/* "$way"/state/* 2> /dev/null)
END
  # Trees, what is unpacked, and commands are directories of root's, hidden ones too; below them
  # removeTree takes over what it comes across (src/effects/durable.ts), so that a start need not
  # walk through all of it. Files may be others' (docker cp into inbox).
  look_for_others -maxdepth 2 || return
  [ -n "$writable" ] || return 0
  say "other users may write in $way (a group, by fsGroup, or everybody): taking write access back"
  # What is reached by a name is made safe before what lies in it, and chmod -R does so too: a link
  # put in its place would be followed. It would also enter what is another's. The place itself
  # comes last: a kill before that has all of it done again.
  find "$way" -mindepth 1 -maxdepth 1 -user 0 ! -type l -exec chmod go-w {} + 2> /dev/null
  look_for_others || return
  # Trees as they were installed, so that they verify.
  chmod -R go-rwx,g-s "$way/state" "$way/inbox" "$way/tmp" 2> /dev/null
  chmod -R a-w,g-s "$way/releases" 2> /dev/null
  chmod u+w "$way/releases" 2> /dev/null
  chmod go-w,g-s,-t "$way" || problem="other users may write $way, and it can't be changed: run \`chmod -R go-w $way\` as root, on the host"
}

# Sets `problem` for a directory of another user's in $way, or `writable` for one that others may
# write. The arguments: how deep.
look_for_others() {
  while IFS= read -r name; do
    [ -n "$name" ] || continue
    if [ -O "$name" ]; then writable=1; continue; fi
    problem="$name belongs to another user, and root can't trust it: run \`mv $way $way.old\` as root to begin anew, or \`chown -Rh 0:0 $way\` if you do"
    return 1
  done << END
$(find "$way" -xdev -mindepth 1 "$@" -type d \( ! -user 0 -o -perm /022 \) -print 2> /dev/null)
END
}

# The directory of the app's data, without slashes at its end.
data_dir() {
  data=${UPDATE_LINKED_DIR:-/data/app}
  while :; do case $data in */) data=${data%/} ;; */.) data=${data%/.} ;; *) break ;; esac; done
}

# Whether $1 and $2 are one directory, or one of them is in the other.
overlap() {
  case $1/ in "${2%/}/"*) return 0 ;; esac
  case $2/ in "${1%/}/"*) return 0 ;; esac
  return 1
}

# What holds the app's data is the app's, so it can be neither root's own place, nor around it, nor
# in it. By the names that were given: by where they lead, the app could end all updates with a
# link. What leads there all the same is given to nobody (init, give_data).
look_apart() {
  data_dir
  ! overlap "$data" "$way" && ! overlap "$data" "${dir%/}" ||
    problem="UPDATE_LINKED_DIR (${data:-/}) and UPDATE_DIR ($dir) are not apart, and who owns the app's data could exchange what root keeps: set UPDATE_LINKED_DIR=/data/app and UPDATE_DIR=/data/self-update, or others of which neither holds the other"
}

# Whether root may work in UPDATE_DIR, which is made where it is missing. What is wrong goes to
# $ours/unsafe, where each command finds it.
secure_place() {
  case $dir in /*) look_along "$dir" last ;; *) look_along "$PWD/$dir" last ;; esac
  [ -n "$problem" ] || look_apart
  if [ -z "$problem" ] && [ ! -d "$way" ]; then
    # Made here, where nobody can have been quicker; on a volume that takes nothing the updater says
    # so itself.
    if mkdir -p "$way" 2> /dev/null; then look_along "$way" last
    elif [ -w "${way%/*}/" ]; then problem="$way can't be made: free some space, or use another volume"; fi
  fi
  [ -n "$problem" ] || [ ! -d "$way" ] || look_inside
  if [ -z "$problem" ]; then
    [ ! -e "$ours/unsafe" ] || rm -f "$ours/unsafe"
    return 0
  fi
  echo "$problem" > "$ours/unsafe"
  return 1
}
