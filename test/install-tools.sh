#!/bin/sh
# Installs what the tests need beside Go, or says how to: ffmpeg, chromium, Redis and PostgreSQL by the system's packages,
# the browser driver and the players by npm. Nothing is done where all of it is there.
set -eu
cd "$(dirname "$0")"

missing=
command -v ffmpeg >/dev/null 2>&1 || missing="$missing ffmpeg"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing="$missing postgresql"
# Debian's redis-sentinel is the same program, started with --sentinel: the tests do that.
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
# The alert rules' tests run its programs; the service that the package has is masked before, so that none is started.
if ! command -v promtool >/dev/null 2>&1; then
  missing="$missing prometheus"
  if [ "$(id -u)" = 0 ] && [ ! -e /etc/systemd/system/prometheus.service ] && [ -d /etc/systemd/system ]; then
    ln -s /dev/null /etc/systemd/system/prometheus.service
  fi
fi
command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd" # checks the units
command -v npm >/dev/null 2>&1 || missing="$missing npm"
if [ "${OXBOW_MATRIX:-}" = full ]; then # the publishers and players of make e2e
  command -v gst-launch-1.0 >/dev/null 2>&1 || missing="$missing gstreamer1.0-tools gstreamer1.0-plugins-base \
    gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
  gst-inspect-1.0 avdec_h264 >/dev/null 2>&1 || missing="$missing gstreamer1.0-libav"
  command -v gst-play-1.0 >/dev/null 2>&1 || missing="$missing gstreamer1.0-plugins-base-apps"
  command -v mpv >/dev/null 2>&1 || missing="$missing mpv"
  command -v obs >/dev/null 2>&1 || missing="$missing obs-studio"
  command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
  command -v rclone >/dev/null 2>&1 || missing="$missing rclone" # make bench-store
  command -v h2load >/dev/null 2>&1 || missing="$missing nghttp2-client" # make bench-edge, part tls
  command -v srt-live-transmit >/dev/null 2>&1 || missing="$missing srt-tools"
fi
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
  else
    echo "missing:$missing. The tests that need them are skipped. On Debian: sudo apt-get install$missing" >&2
  fi
fi
# npm notes in node_modules what it installed.
if command -v npm >/dev/null 2>&1 && [ ! browser/node_modules/.package-lock.json -nt browser/package-lock.json ]; then
  (cd browser && npm ci --no-audit --no-fund --loglevel=error)
fi
