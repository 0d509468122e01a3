#!/usr/bin/env bash
# From a fresh JetPack to a running line. Not yet run on a Jetson.
#
#   sudo ./install-jetson.sh --bundle line3 --line line.yaml [--extras stream,gpio] [--precision fp16] [--dry-run]
#
# First everything that could stop it is looked at, and each hindrance is told in one line. Then it installs; whatever
# fails, what was there before is there afterwards. It can be run again: the environment is made anew beside the old one
# and takes its place at the end; a bundle that is on the device stays, with its thresholds, unless --replace-bundle.
#
#   --wheel FILE       snl-edge's wheel; the one beside this script if not given
#   --root FOLDER      the system lies below FOLDER, as drawn for a test: nothing is compiled, built or started
#   --python PROGRAM   python3
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wheel='' bundle='' line='' extras=stream precision=fp16 root='' python=python3 dry=no replace=no
readonly PLACE=/opt/snl SETTINGS=/etc/snl-edge STATE=/var/lib/snl-edge ACCOUNT=snl-edge
readonly LEAST_MEMORY_MIB=3000 LEAST_DISK_MIB=2000 # the environment took 220 MiB on x86-64 without pycuda and engine

hindrances=0 service_tried=no earlier=''
refuse() { # what, why, fix
  echo "install-jetson: $1: $2. $3." >&2
  hindrances=$((hindrances + 1))
}
stop() {
  refuse "$@"
  exit 1
}
say() { echo "== $*"; }

while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=yes; shift; continue ;;
    --replace-bundle) replace=yes; shift; continue ;;
    --bundle | --line | --wheel | --extras | --precision | --root | --python) ;;
    *) stop "unknown option $1" "see the head of this script" "Leave it out" ;;
  esac
  [ $# -ge 2 ] || stop "$1 needs a value" "none was given" "Give one"
  case $1 in
    --bundle) bundle=${2%/} ;;
    --line) line=$2 ;;
    --wheel) wheel=$2 ;;
    --extras) extras=$2 ;;
    --precision) precision=$2 ;;
    --root) root=${2%/} ;;
    --python) python=$2 ;;
  esac
  shift 2
done
name=$(basename "${bundle:-none}")
unit=$here/snl-edge.service
[ -f "$unit" ] || unit=$here/../examples/snl-edge.service
if [ -z "$wheel" ]; then
  shopt -s nullglob
  wheels=("$here"/snl_edge-*.whl "$here"/../dist/snl_edge-*.whl)
  shopt -u nullglob
  wheel=${wheels[0]:-$here/snl_edge-*.whl}
fi

check_machine() {
  local release major minor memory free
  [ -n "$root" ] || [ "$dry" = yes ] || [ "$(id -u)" = 0 ] ||
    refuse "no rights to install" "it makes a user, a service and files below /opt and /etc" "Run it with sudo"
  [ "$(uname -m)" = aarch64 ] ||
    refuse "this is no Jetson" "its processor is $(uname -m), a Jetson's is aarch64" "On a PC see docs/workstation.md"
  if release=$(head -n 1 "$root/etc/nv_tegra_release" 2>/dev/null) &&
    [[ $release =~ R([0-9]+)\ .*REVISION:\ ([0-9]+) ]]; then
    major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
    if [ "$major" -lt 36 ] || { [ "$major" = 36 ] && [ "$minor" -lt 4 ]; }; then
      refuse "L4T $major.$minor is too old" "its TensorRT is older than 10" "Flash JetPack 6.1 (L4T 36.4) or newer"
    fi
  else
    refuse "this is no Jetson" "$root/etc/nv_tegra_release does not name a release of L4T" "Flash JetPack 6.1 or newer"
  fi
  memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' "$root/proc/meminfo" 2>/dev/null || echo 0) / 1024))
  [ "$memory" -ge "$LEAST_MEMORY_MIB" ] ||
    refuse "$memory MiB of memory are too little" "TensorRT builds an engine in no less than $LEAST_MEMORY_MIB" \
      "Use a board with 4 GB or more"
  free=$(df --output=avail --block-size=1M "${root:-/}" | tail -n 1)
  [ "$free" -ge "$LEAST_DISK_MIB" ] ||
    refuse "${free// /} MiB of free disk are too little" "it takes up to $LEAST_DISK_MIB below $PLACE" "Make room"
}

check_packages() {
  local version needs_gstreamer answer header
  if ! version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
    refuse "there is no Python" "$python does not start" "sudo apt install python3"
    return
  fi
  case $version in 3.10 | 3.11 | 3.12 | 3.13) ;; *)
    refuse "Python $version does not fit" "snl-edge runs on 3.10 to 3.13" "Give another with --python" ;;
  esac
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    refuse "Python makes no environments" "its modules venv and ensurepip are missing" "sudo apt install python3-venv"
  [ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
    refuse "pycuda cannot be compiled" "Python.h is missing" "sudo apt install python3-dev"
  command -v g++ >/dev/null || refuse "pycuda cannot be compiled" "g++ is missing" "sudo apt install g++"
  for header in cuda.h curand.h; do
    [ -f "$root/usr/local/cuda/include/$header" ] ||
      refuse "pycuda cannot be compiled" "/usr/local/cuda/include/$header is missing" "sudo apt install nvidia-jetpack"
  done
  if ! version=$("$python" -c 'import tensorrt; print(tensorrt.__version__)' 2>/dev/null); then
    refuse "Python finds no TensorRT" "JetPack's module tensorrt cannot be imported" "sudo apt install nvidia-jetpack"
  elif [ "${version%%.*}" -lt 10 ]; then
    refuse "TensorRT $version is too old" "strongly typed networks begin with 10" "Flash JetPack 6.1 or newer"
  fi
  needs_gstreamer=$(grep -Ec 'type: *"?(csi|gstreamer)"?' "$line" 2>/dev/null || true)
  answer=$("$python" -c '
import cv2
lines = cv2.getBuildInformation().splitlines()
print(any("GStreamer:" in line and "YES" in line for line in lines), cv2.__file__)' 2>/dev/null) || answer='none'
  if [ "${needs_gstreamer:-0}" -gt 0 ] && [[ $answer != True* ]]; then
    case $answer in
      none) refuse "CSI cameras need JetPack's OpenCV" "Python finds none" "sudo apt install nvidia-opencv" ;;
      *) refuse "CSI cameras need JetPack's OpenCV" "Python finds ${answer#False }, which has no GStreamer" \
        "Remove it (sudo pip3 uninstall opencv-python opencv-python-headless), then sudo apt install nvidia-opencv" ;;
    esac
  fi
}

check_files() {
  local named
  [ -f "$wheel" ] || refuse "there is no wheel $wheel" "the file does not exist" "Make it with \`make wheel\`, give --wheel"
  [ -f "$unit" ] || refuse "the service's unit is missing" "$unit does not exist" "Unpack the archive whole"
  [[ $name =~ ^[A-Za-z0-9._-]+$ ]] ||
    refuse "the bundle's name '$name' will not do" "it becomes a path in line.yaml" "Use letters, digits, point and dash"
  if [ -z "$bundle" ]; then
    refuse "no bundle was named" "a line runs one" "Give --bundle FOLDER (snl-edge build RUN --onnx-only makes it)"
  elif [ ! -f "$bundle/manifest.json" ]; then
    refuse "$bundle is no bundle" "manifest.json is missing" "Copy the folder that snl-edge build wrote"
  fi
  if [ -z "$line" ]; then
    refuse "no line was named" "the service runs one" "Give --line FILE (start from examples/lines/jetson-csi.yaml)"
  elif [ ! -f "$line" ]; then
    refuse "there is no line $line" "the file does not exist" "Start from examples/lines/jetson-csi.yaml"
  else
    named=$(sed -n 's/^bundle: *"\{0,1\}\([^"# ]*\).*/\1/p' "$line")
    [ "${named%/}" = "$PLACE/$name" ] ||
      refuse "$line names another bundle" "it says '$named', and $bundle will be $PLACE/$name" "Write bundle: $PLACE/$name"
  fi
}

# What to do if a later step fails, last first.
undo=()
on_failure() { undo+=("$(printf '%q ' "$@")"); }
on_exit() {
  local status=$1 index
  [ "$status" != 0 ] && [ "${#undo[@]}" != 0 ] || return 0
  set +e # as much as can be undone is undone
  [ "$service_tried" = yes ] && [ -z "$earlier" ] && systemctl disable --now snl-edge
  for ((index = ${#undo[@]} - 1; index >= 0; index--)); do
    eval "${undo[index]}"
  done
  if [ "$service_tried" = yes ]; then
    systemctl daemon-reload
    [ -z "$earlier" ] || systemctl restart snl-edge
  fi
  echo "install-jetson: stopped, and what it had changed is as before (user and groups stay)." >&2
}
trap 'on_exit $?' EXIT
trap 'exit 130' INT TERM

put() { # file, where, mode: replaced whole, and back as it was if a later step fails
  local target=$root$2
  install -d "$(dirname "$target")"
  if [ -e "$target" ]; then
    cp -p "$target" "$target.before"
    on_failure mv -f "$target.before" "$target"
  else
    on_failure rm -f "$target"
  fi
  install -m "$3" "$1" "$target.new"
  mv -f "$target.new" "$target"
}

as_service() {
  runuser -u "$ACCOUNT" -- env HOME="$STATE" TMPDIR="$STATE" PATH="/usr/local/cuda/bin:$PATH" "$@"
}

steps() {
  say "1. environment in $PLACE/$environment, from $(basename "$wheel") [$extras] and JetPack's packages, with pycuda"
  say "2. user $ACCOUNT and its groups video, render, gpio; rule for the pins"
  if [ "$keep_bundle" = yes ]; then
    say "3. bundle $PLACE/$name is there and stays (--replace-bundle takes the new one)"
  else
    say "3. bundle $bundle to $PLACE/$name"
  fi
  say "4. line $line to $SETTINGS/line.yaml"
  [ -n "$root" ] || say "5. $precision engine, built on this board; doctor; check of the line"
  say "6. service snl-edge, enabled$([ -n "$root" ] || echo ' and started')"
}

check_machine
check_packages
check_files
[ "$hindrances" = 0 ] || exit 1
environment=venv-$(date +%Y%m%d-%H%M%S)
keep_bundle=no
if [ -f "$root$PLACE/$name/manifest.json" ] && [ "$replace" = no ]; then keep_bundle=yes; fi
steps
if [ "$dry" = yes ]; then
  say "dry run: nothing was changed"
  exit 0
fi

install -d "$root$PLACE" "$root$SETTINGS" "$root$STATE"
say "1. environment: some minutes, pycuda is compiled"
on_failure rm -rf "$root$PLACE/$environment"
options=(--extras "$extras" --python "$python")
[ -n "$root" ] || options+=(--pycuda)
grep -Eq 'type: *"?(csi|gstreamer)"?' "$line" && options+=(--opencv system)
"$here/make-environment.sh" "$root$PLACE/$environment" "$wheel" "${options[@]}"

say "2. user and groups"
put "$here/snl-edge.sysusers" /etc/sysusers.d/snl-edge.conf 644
put "$here/60-snl-edge-gpio.rules" /etc/udev/rules.d/60-snl-edge-gpio.rules 644
systemd-sysusers ${root:+--root="$root"} snl-edge.conf
if [ -z "$root" ]; then
  udevadm control --reload && udevadm trigger --subsystem-match=gpio
  chown "$ACCOUNT:" "$STATE"
fi

if [ "$keep_bundle" = no ]; then
  say "3. bundle"
  rm -rf "$root$PLACE/.$name.new"
  on_failure rm -rf "$root$PLACE/.$name.new"
  cp -r "$bundle" "$root$PLACE/.$name.new"
  [ -n "$root" ] || chown -R "$ACCOUNT:" "$root$PLACE/.$name.new"
  if [ -e "$root$PLACE/$name" ]; then
    rm -rf "$root$PLACE/.$name.before"
    mv "$root$PLACE/$name" "$root$PLACE/.$name.before"
    on_failure mv "$root$PLACE/.$name.before" "$root$PLACE/$name"
  fi
  on_failure rm -rf "$root$PLACE/$name"
  mv "$root$PLACE/.$name.new" "$root$PLACE/$name"
fi

say "4. line"
put "$line" "$SETTINGS/line.yaml" 644
journal=$("$root$PLACE/$environment/bin/python" -I - "$root$SETTINGS/line.yaml" <<'PY'
import sys
from pathlib import Path

from snl_edge.errors import SnlEdgeError
from snl_edge.stream.config.line_config import read_config

try:
    print(read_config(Path(sys.argv[1])).journal.folder)
except SnlEdgeError as error:
    sys.exit(f"install-jetson: {error}")
PY
) || exit 1
put "$unit" /etc/systemd/system/snl-edge.service 644
if [[ $journal = /* && $journal != "$STATE"/* ]]; then
  say "   the service may write to $journal, too"
  printf '[Service]\nReadWritePaths=%s\n' "$journal" >"$root$PLACE/$environment/paths.conf"
  put "$root$PLACE/$environment/paths.conf" /etc/systemd/system/snl-edge.service.d/paths.conf 644
  install -d "$root$journal"
  [ -n "$root" ] || chown "$ACCOUNT:" "$journal"
fi

if [ -z "$root" ]; then
  snl=$PLACE/$environment/bin/snl-edge
  say "5. engine: some minutes"
  as_service "$snl" build "$PLACE/$name" --precision "$precision"
  "$snl" doctor
  (cd "$STATE" && as_service "$snl" stream check "$SETTINGS/line.yaml") ||
    stop "the line would not run" "see the lines marked no above" "Correct $line and run this again"
fi

say "6. service"
link=$root$PLACE/venv
if [ -L "$link" ]; then
  earlier=$(readlink "$link")
  on_failure ln -sfn "$earlier" "$link"
else
  earlier=''
  on_failure rm -f "$link"
fi
ln -sfn "$environment" "$link.new"
mv -T "$link.new" "$link"
if [ -n "$root" ]; then
  systemctl --root="$root" enable snl-edge
else
  service_tried=yes
  systemctl daemon-reload
  systemctl enable snl-edge
  if ! systemctl restart snl-edge; then
    journalctl --no-pager --unit snl-edge --lines 20 >&2
    stop "the service did not start" "its last lines are above" "Correct what they say and run this again"
  fi
fi

undo=()
rm -f "$root$SETTINGS/line.yaml.before" "$root"/etc/sysusers.d/*.before "$root"/etc/udev/rules.d/*.before \
  "$root"/etc/systemd/system/snl-edge.service.before "$root"/etc/systemd/system/snl-edge.service.d/*.before
rm -rf -- "$root$PLACE/.$name.before"
[ -z "$earlier" ] || rm -rf -- "$root$PLACE/${earlier:?}"
say "done: systemctl status snl-edge; journalctl -fu snl-edge; dashboard as $SETTINGS/line.yaml says"
