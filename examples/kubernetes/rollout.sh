#!/bin/sh
# Makes a release the image of a Deployment, as pre-stop and pre-start hook of a watcher. The release
# brings a file "image" with one line, such as ghcr.io/acme/app@sha256:…: by digest, so that what was
# verified here is what runs there.
#
# A rollout that fails is undone, and the release is denied here. The hook may be killed at any line,
# and is then run again: an image that is set already changes nothing.
set -u
deployment=deployment/${DEPLOYMENT:-app}

case $UPDATE_HOOK in
  pre-stop)
    # Nobody can be asked, or something else is being rolled out: not now.
    kubectl rollout status "$deployment" --timeout=10s || exit 75
    ;;
  pre-start)
    image=$(cat "$UPDATE_TREE/image") || exit 1
    case $image in
      *[!a-z0-9./:@_-]* | -*) echo "not an image: $image"; exit 1 ;;
      *@sha256:*) ;;
      *) echo "$image is not named by its digest"; exit 1 ;;
    esac
    # The API server may be away for a moment: that says nothing about the release.
    for _ in $(seq 60); do
      if kubectl set image "$deployment" "${CONTAINER:-app}=$image"; then is_set=yes; break; fi
      sleep 5
    done
    [ "${is_set:-}" = yes ] || exit 1
    # Until it is complete, or progressDeadlineSeconds have passed without progress.
    kubectl rollout status "$deployment" --timeout="${ROLLOUT_TIMEOUT:-20m}" && exit 0
    echo "the rollout of $UPDATE_TO failed, and is undone"
    kubectl rollout undo "$deployment"
    kubectl rollout status "$deployment" --timeout=5m
    exit 1
    ;;
esac
