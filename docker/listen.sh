# shellcheck shell=sh
# Held sockets (UPDATE_LISTEN): the container listens, and the app borrows the listeners. Sourced by
# init, before anything is started. A shell can't open a socket; spawn-fcgi(1) can, and becomes init
# again, in the same process, with the listener as descriptor 0. So each start of init opens one
# more, and moves it to its place: 4, 5, 6, 7, 9. Not 3, which is the app's lock, nor 8, the
# standard input.
# shellcheck disable=SC2154 # `lib` and `given_umask` are of lib.sh

# A part of an address by its digits, without zeros in front: 0 to $2.
is_number() {
  case $1 in '' | *[!0-9]* | 0?* | ??????*) return 1 ;; esac
  [ "$1" -le "$2" ]
}

is_ipv4() {
  rest=$1.
  parts=0
  while [ -n "$rest" ]; do
    is_number "${rest%%.*}" 255 || return 1
    rest=${rest#*.}
    parts=$((parts + 1))
  done
  [ "$parts" = 4 ]
}

# Eight groups, or fewer and :: once. No dots, and no zone: as src/config/listen.ts has it.
is_ipv6() {
  case $1 in *[!0-9A-Fa-f:]* | *:::* | *::*::* | :[!:]* | *[!:]:) return 1 ;; esac
  rest=$1:
  fields=0
  while [ -n "$rest" ]; do
    group=${rest%%:*}
    rest=${rest#*:}
    case $group in '') ;; ?????*) return 1 ;; *) fields=$((fields + 1)) ;; esac
  done
  case $1 in *::*) [ "$fields" -lt 8 ] ;; *) [ "$fields" = 8 ] ;; esac
}

# Sets `name`, `address` and `port` of $1: 8080, web=0.0.0.0:8080, [::]:8443.
read_socket() {
  place=${1#*=}
  port=${place##*:}
  name=$port
  case $1 in *=*) name=${1%%=*} ;; esac
  case $name in '' | *[!A-Za-z0-9_.-]*) return 1 ;; esac
  is_number "$port" 65535 && [ "$port" != 0 ] || return 1
  case $place in
    "["*"]:$port") address=${place#"["} && address=${address%"]:$port"} && is_ipv6 "$address" ;;
    *:*) address=${place%":$port"} && is_ipv4 "$address" ;;
    *) address=0.0.0.0 ;;
  esac
}

# Reads UPDATE_LISTEN into `names` and `ports`, each with colons between, `count`, and what is to be
# opened, a line each: `sockets`. Sets `problem` where it can't be read; then it fails. The same
# rules, and words, are in src/config/listen.ts.
read_sockets() {
  names=
  ports=
  sockets=
  count=0
  problem=
  set -f
  IFS=" ,$(printf '\t\r')
"
  for socket in $1; do
    [ -n "$socket" ] || continue
    count=$((count + 1))
    if ! read_socket "$socket"; then problem="has \"$socket\", which is not [NAME=][ADDRESS:]PORT"
    else
      case :$names: in *":$name:"*) problem="has the name \"$name\" twice" ;; esac
      case "
$sockets" in *"
$address $port
"*) problem="has port $port twice at the same address" ;; esac
    fi
    [ -z "$problem" ] || break
    names=$names${names:+:}$name
    ports=$ports${ports:+:}$port
    sockets="$sockets$address $port
"
  done
  set +f
  unset IFS
  [ -n "$problem" ] || [ "$count" -le 5 ] || problem='names more than 5 sockets'
  [ -z "$problem" ]
}

# $@: what init was started with. Returns when all are held.
hold_sockets() {
  held=${SELF_UPDATE_HELD:-0}
  case $held in
    1) exec 4<&0 ;;
    2) exec 5<&0 ;;
    3) exec 6<&0 ;;
    4) exec 7<&0 ;;
    5) exec 9<&0 ;;
  esac
  # The container's own standard input, meanwhile.
  [ "$held" = 0 ] || exec <&8 8<&-
  if ! read_sockets "$UPDATE_LISTEN"; then
    say "UPDATE_LISTEN: $problem. Example: UPDATE_LISTEN=\"web=0.0.0.0:8080 [::]:8443\" [CONFIGURATION]"
    exit 78
  fi
  if [ "$held" -lt "$count" ]; then
    left=$held
    while read -r address port && [ "$left" -gt 0 ]; do left=$((left - 1)); done << END
$sockets
END
    # Tried first, so that what is wrong is said in our words.
    if ! problem=$("$lib/bin/spawn-fcgi" -n -a "$address" -p "$port" -b 4096 -- "$lib/bin/busybox" true 2>&1); then
      explain_listen "$problem"
      exit 73
    fi
    [ -e /proc/self/fd/0 ] || exec < /dev/null
    exec 8<&0
    export SELF_UPDATE_HELD=$((held + 1))
    # init reads it anew.
    umask "$given_umask"
    exec "$lib/bin/spawn-fcgi" -n -a "$address" -p "$port" -b 4096 -- "$lib/init" "$@"
  fi
  unset SELF_UPDATE_HELD
}

# $1: spawn-fcgi's words. The same in src/effects/supervisor/held-sockets.ts.
explain_listen() {
  case $1 in
    *'in use'*) why='another program has it: end that, or take another port' ;;
    *'ermission denied'*) why='ports below 1024 need --cap-add NET_BIND_SERVICE, or with --user the sysctl net.ipv4.ip_unprivileged_port_start=0' ;;
    *'assign requested'*) why="the address is none of this container's: 0.0.0.0 stands for all of them" ;;
    *) why=${1##*: } ;;
  esac
  case $address in *:*) address="[$address]" ;; esac
  say "UPDATE_LISTEN: $address:$port can't be listened on: $why [LISTEN_FAILED]"
}
