#!/bin/sh
# With the app down: backs its data up and lets the new version migrate it. On the way back the data is as it was.
#
#   UPDATE_PRE_START_CMD=/opt/recipes/backup.sh
#   DATA=/data/app  BACKUPS=/data/backups      (the defaults)
#
# May be killed at any line and is then run again: a backup counts once it has its name, and is not made twice for one change.
# Hooks run as the updater's user. What a release brought, and what the app wrote, is touched only as the app's user: a hostile release gets
# no further through here than by being run.
set -eu
data=${DATA:-/data/app}
backups=${BACKUPS:-/data/backups}

# The app's user and group; empty where the app has none of its own, as in a container that runs as one unprivileged user.
user=
[ ! -s /run/self-update/private/app.user ] || read -r user < /run/self-update/private/app.user
as_app() {
  if [ -n "$user" ]; then /usr/lib/self-update/bin/chpst -u ":$user" "$@"; else "$@"; fi
}

# In a directory that somebody else may change, links could lead the writes below anywhere.
case $backups/ in
  "$data"/*) echo "$backups is in the app's own data: set BACKUPS to a directory that the app can't write"; exit 1 ;;
esac
(umask 077 && mkdir -p "$backups")
if [ -L "$backups" ] || [ ! -O "$backups" ]; then
  echo "$backups is not the updater's own directory: set BACKUPS to one that the app can't write"
  exit 1
fi

case $UPDATE_REASON in
  rollback)
    # The change was from what comes back now to what failed.
    backup=$backups/$UPDATE_TO-to-$UPDATE_FROM.tar
    [ -e "$backup" ] || exit 0
    as_app find "$data" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
    as_app tar -C "$data" -xf - < "$backup"
    mv "$backup" "$backup.restored"
    echo "restored $backup"
    ;;
  *)
    backup=$backups/$UPDATE_FROM-to-$UPDATE_TO.tar
    if [ ! -e "$backup" ]; then
      (umask 077 && as_app tar -C "$data" -cf - . > "$backup.part")
      sync
      mv "$backup.part" "$backup"
      echo "backed up $data to $backup"
    fi
    if [ -x "$UPDATE_TREE/migrate" ]; then as_app "$UPDATE_TREE/migrate" "$data"; fi
    # The five newest stay.
    # shellcheck disable=SC2012 # names of versions
    ls -t "$backups" | tail -n +6 | while read -r old; do rm -f "$backups/$old"; done
    ;;
esac
