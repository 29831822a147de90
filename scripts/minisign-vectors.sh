#!/bin/sh
# Makes test/trust/minisign anew with the real minisign (Debian's): two keys, one file, and its signatures.
set -eu
cd "$(dirname "$0")/../test/trust/minisign"
rm -f ./*
for key in one two; do minisign -G -W -f -p "$key.pub" -s "$key.key" > /dev/null; done
printf 'the app\n' > app_2.0.0_linux_amd64.tar.gz
printf '%s  app_2.0.0_linux_amd64.tar.gz\n' "$(sha256sum app_2.0.0_linux_amd64.tar.gz | cut -d ' ' -f 1)" > checksums.txt
sign() { minisign -S -s "$1.key" -m "$2" -x "$3" -t "$4" > /dev/null; }
minisign -S -s one.key -m app_2.0.0_linux_amd64.tar.gz -x default.minisig > /dev/null
minisign -S -l -s one.key -m app_2.0.0_linux_amd64.tar.gz -x legacy.minisig > /dev/null
minisign -S -s two.key -m app_2.0.0_linux_amd64.tar.gz -x by-two.minisig > /dev/null
minisign -S -s one.key -m checksums.txt -x checksums.minisig > /dev/null
sign one app_2.0.0_linux_amd64.tar.gz version.minisig 'file:app_2.0.0_linux_amd64.tar.gz version:2.0.0'
sign one app_2.0.0_linux_amd64.tar.gz old-version.minisig 'file:app_2.0.0_linux_amd64.tar.gz version:1.0.0'
sign one app_2.0.0_linux_amd64.tar.gz other-tag.minisig 'tag:v1.0.0'
sign one app_2.0.0_linux_amd64.tar.gz other-file.minisig 'file:app_2.0.0_linux_arm64.tar.gz'
sign one app_2.0.0_linux_amd64.tar.gz free.minisig 'signed by hand'
# Nobody needs them any more.
rm -f ./*.key
