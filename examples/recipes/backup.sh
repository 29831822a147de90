#!/bin/sh
# With the app down: backs its data up and lets the new version migrate it. On the way back the data is as it was.
#
#   UPDATE_PRE_START_CMD=/opt/recipes/backup.sh
#   DATA=/data/app  BACKUPS=/data/backups      (the defaults)
#
# May be killed at any line and is then run again: a backup counts once it has its name, and is not made twice for one change.
set -eu
data=${DATA:-/data/app}
backups=${BACKUPS:-/data/backups}
umask 077
mkdir -p "$data" "$backups"

case $UPDATE_REASON in
  rollback)
    # The change was from what comes back now to what failed.
    backup=$backups/$UPDATE_TO-to-$UPDATE_FROM.tar
    [ -e "$backup" ] || exit 0
    find "$data" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
    tar -C "$data" -xf "$backup"
    mv "$backup" "$backup.restored"
    echo "restored $backup"
    ;;
  *)
    backup=$backups/$UPDATE_FROM-to-$UPDATE_TO.tar
    if [ ! -e "$backup" ]; then
      tar -C "$data" -cf "$backup.part" .
      sync
      mv "$backup.part" "$backup"
      echo "backed up $data to $backup"
    fi
    if [ -x "$UPDATE_TREE/migrate" ]; then "$UPDATE_TREE/migrate" "$data"; fi
    # The five newest stay.
    # shellcheck disable=SC2012 # names of versions
    ls -t "$backups" | tail -n +6 | while read -r old; do rm -f "$backups/$old"; done
    ;;
esac
