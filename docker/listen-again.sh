# shellcheck shell=sh
# A held socket is one for all copies of the app: whoever calls shutdown(2) on it, as some servers do
# to stop, ends its listening for all of them, and for the next ones. It is still bound, and
# listen(2) makes it what it was. A shell can't call that; Node can. Sourced by app/run and
# app/finish, which have the sockets. The same in src/effects/supervisor/held-sockets.ts.
# shellcheck disable=SC2154 # `lib` and `ours` are of lib.sh

# Prints the held descriptors that listen no more. The kernel's tables begin with what listens.
find_deaf() {
  { read -r _ && read -r held; } < "$ours/sockets"
  set --
  for fd in 4 5 6 7 9; do
    set -- "$@" "/proc/self/fd/$fd"
    case $held in *:*) held=${held#*:} ;; *) break ;; esac
  done
  tables=
  for table in /proc/net/tcp /proc/net/tcp6; do [ ! -r "$table" ] || tables="$tables $table"; done
  # Without them nothing can be told.
  [ -n "$tables" ] || return 0
  # shellcheck disable=SC2086 # several
  stat -L -c '%n %i' "$@" 2> /dev/null | awk '
    NF == 2 { sub(".*/", "", $1); held[$2] = $1; left++; next }
    $4 == "0A" && $10 in held { delete held[$10]; if (!--left) exit }
    END { for (inode in held) print held[inode] }' - $tables
}

# Whatever comes of it, the app starts. Node ends before it could accept anything itself. It has
# accept(2) never wait, for all: an app that relies on that finds it as it was.
listen_again() {
  deaf=$(find_deaf)
  [ -n "$deaf" ] || return 0
  echo 'app: UPDATE_LISTEN: a held socket was shut down by the app (shutdown(2)); listening again' >&2
  # shellcheck disable=SC2086,SC2016 # several; and JavaScript
  problem=$(timeout -s KILL 10 "$lib/bin/env" -i "$lib/bin/node" -e '
    const { constants, readFileSync } = require("node:fs");
    for (const fd of process.argv.slice(1)) {
      const [, flags] = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
      const server = require("node:net").createServer().listen({ fd: Number(fd) }, 4096);
      const waits = !(parseInt(flags, 8) & constants.O_NONBLOCK);
      if (waits) server._handle?.setBlocking(waits);
    }
    process.nextTick(process.exit)' $deaf 2>&1 < /dev/null)
  [ -z "$(find_deaf)" ] || echo "app: UPDATE_LISTEN: it can't be listened on again, restart the container: $(echo "$problem" | grep Error:)" >&2
}
