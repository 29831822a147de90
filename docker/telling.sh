# shellcheck shell=sh
# Who is told to stop, and when, as src/effects/supervisor/telling.ts has it. Sourced by init, by
# app/run and by update/run; needs lib.sh.
#
# Each process gets the stop signal once: some servers take a second one for "abort now". The leader
# is told first, and what it does about its children is its own affair. Who has nobody above in the
# group that could pass it on is told here: a child whose parent ended, as under a start.sh without
# exec. A shell that lives on runs its trap only after the command in its foreground has ended, so
# that command is told too.

# Hundredths of a second since the machine's boot, into $now.
clock() {
  read -r up _ < /proc/uptime
  now=${up%.*}${up#*.}
}

# UPDATE_STOP_SIGNAL without SIG, into $signal.
name_signal() {
  signal=$(echo "${UPDATE_STOP_SIGNAL:-TERM}" | tr '[:lower:]' '[:upper:]')
  signal=${signal#SIG}
}

# Live processes of the group $1 into $members: " pid:parent pid:parent ".
look() {
  members=' '
  group_looked_at=$1
  for stat in /proc/[0-9]*/stat; do
    read -r line 2> /dev/null < "$stat" || continue
    pid=${line%% *}
    # shellcheck disable=SC2086 # fields: state, parent, group
    set -- ${line##*) }
    [ "${3-}" = "$group_looked_at" ] || continue
    # With its first thread ended a process looks like a zombie, and lives while it has others (18).
    case $1 in [ZX]) [ "${18}" -gt 1 ] || continue ;; esac
    members="$members$pid:$2 "
    # Thousands take longer to look at than the stop may last. Who is not told is killed when the
    # time is up.
    [ "${#members}" -lt 16000 ] || { add_parents; break; }
  done
}

# Of a list that was cut, those above: who has one is told by it, and not by us.
add_parents() {
  for member in $members; do
    above=${member#*:}
    while :; do
      case $members in *" $above:"*) break ;; esac
      read -r line 2> /dev/null < "/proc/$above/stat" || break
      # shellcheck disable=SC2086 # fields
      set -- ${line##*) }
      [ "${3-}" = "$group_looked_at" ] || break
      members="$members$above:$2 "
      above=$2
    done
  done
}

# Whether $1 is a shell, by what it was started as: for a script, its interpreter. A process may
# have all of its memory for its arguments (prctl(2), PR_SET_MM), and this shell none for that: no
# path is longer than 4096 bytes.
is_shell() {
  program=$(tr '\0' '\n' 2> /dev/null < "/proc/$1/cmdline" | head -c 4096)
  program=${program%%
*}
  case ${program##*/} in sh | ash | bash | dash | ksh | mksh | zsh | busybox | -sh | -bash) return 0 ;; *) return 1 ;; esac
}

# Where a shell started its child $1. POSIX: in the background it ignores INT and QUIT (bits 1 and
# 2), and reads from /dev/null; but some programs undo the first. 0: in the foreground; 1: in the
# background; 2: it can't be known.
started_in() {
  mask=0
  while read -r field value; do
    [ "$field" != SigIgn: ] || mask=$((0x${value#????????} & 6))
  done 2> /dev/null < "/proc/$1/status"
  [ "$mask" = 0 ] || return 1
  # All looks together have two seconds: the app can make each of them slow, and can have hundreds
  # of processes.
  [ "$placing" -lt 200 ] || return 2
  clock
  placing=$((placing - now))
  # shellcheck disable=SC2154 # of lib.sh
  as_app "$lib/share-input" "$1" "$2"
  place=$?
  clock
  placing=$((placing + now))
  return "$place"
}

# $1: the leader. $2: when the wait is half over, in hundredths. Before anybody is told.
begin_telling() {
  leader=$1
  unclear_from=$2
  name_signal
  look "$leader"
  first=$members
  told=' '
  background=' '
  placing=0
  led_by_shell=
  ! is_shell "$leader" || led_by_shell=1
}

tell() {
  case $told in *" $1 "*) return ;; esac
  told="$told$1 "
  kill "-$signal" "$1" 2> /dev/null
}

# Again and again while the group is waited for, which is until $deadline.
tell_rest() {
  [ ! -d "/proc/$leader" ] || [ -n "$led_by_shell" ] || return 0
  look "$leader"
  for member in $members; do
    parent=${member#*:}
    member=${member%:*}
    clock
    # shellcheck disable=SC2154 # of the caller
    [ "$now" -lt "$deadline" ] || return 0
    case $members in
      *" $parent:"*) ;;
      *) tell "$member"; continue ;;
    esac
    case $told in *" $member "*) continue ;; *" $parent "*) ;; *) continue ;; esac
    case $first in *" $member:"*) ;; *) continue ;; esac
    case $background in *" $member "*) continue ;; esac
    is_shell "$parent" || continue
    started_in "$member" "$parent"
    case $? in
      0) tell "$member" ;;
      1) background="$background$member " ;;
      *) [ "$now" -lt "$unclear_from" ] || tell "$member" ;;
    esac
  done
}

# Tells the copy in slot $1 to end, and waits until runsv and its group are gone. $2: until when, in
# hundredths. False where they are still there then.
stop_slot() {
  deadline=$2
  clock
  told_from=$now
  word=$(stop_word)
  # Any other word would start an app that is down, and a run script at the gate takes no other
  # signal.
  # shellcheck disable=SC2154 # of lib.sh
  [ -e "$ours/$1.started" ] || word=d
  # Also when the app has ended, and left somebody behind.
  read -r group 2> /dev/null < "$ours/$1.group" && kill -0 "-$group" 2> /dev/null || group=
  [ -z "$group" ] || begin_telling "$group" $(((told_from + deadline) / 2))
  control "$1" "$word"
  # The leader only, as runsv does it.
  if [ "$word" = o ] && [ -n "$group" ]; then tell "$group"; else told=" $group "; fi
  while is_up "$1" || { [ -n "$group" ] && kill -0 "-$group" 2> /dev/null; }; do
    clock
    [ "$now" -lt "$deadline" ] || return 1
    [ -z "$group" ] || tell_rest
    sleep 0.02
  done
}
