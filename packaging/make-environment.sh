#!/usr/bin/env bash
# Makes a Python environment with snl-edge in it: on a Jetson, in a container, on an industrial PC.
#
#   make-environment.sh FOLDER WHEEL [--extras stream,gpio] [--opencv auto|system|wheel] [--pycuda] [--python python3]
#
# The system's packages are seen: a Jetson's TensorRT and OpenCV come from JetPack. An OpenCV of the system is kept in
# front, and told to pip by the metadata that its package lacks, so that no later `pip install` puts the wheel of the
# package index, which has no GStreamer, over it. NumPy stays below 2 then, for every later `pip install`, too.
# --opencv auto takes the system's OpenCV if it has GStreamer, else the wheel.
set -euo pipefail

fail() {
  echo "make-environment: $1: $2. $3." >&2
  exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || fail "folder and wheel are missing" "$# arguments were given" "Say: make-environment.sh FOLDER WHEEL"
folder=$(realpath -m -- "$1") wheel=$(realpath -- "$2") extras=stream opencv=auto pycuda=no python=python3
shift 2
while [ $# -gt 0 ]; do
  case $1 in
    --extras) extras=$2; shift 2 ;;
    --opencv) opencv=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    --pycuda) pycuda=yes; shift ;;
    *) fail "unknown option $1" "it is none of --extras, --opencv, --pycuda, --python" "Leave it out" ;;
  esac
done
case $opencv in auto | system | wheel) ;; *) fail "--opencv $opencv" "it is auto, system or wheel" "Choose one" ;; esac
[ -f "$wheel" ] || fail "there is no wheel $wheel" "the file does not exist" "Make it with \`make wheel\`"
[ ! -e "$folder" ] || fail "$folder exists" "an environment is made anew, not repaired" "Remove it, or name another"

cd / # no module of the caller's folder may pass for one of the system
tidy() {
  [ "$1" = 0 ] || rm -rf -- "$folder"
}
trap 'tidy $?' EXIT
"$python" -m venv --system-site-packages "$folder" ||
  fail "no environment could be made in $folder" "$python -m venv failed, see above" "sudo apt install python3-venv"
pip=("$folder/bin/python" -m pip --quiet --disable-pip-version-check install)

if [ "$opencv" != wheel ] && "$folder/bin/python" -c 'import importlib.util as i, sys; sys.exit(i.find_spec("cv2") is None)'; then
  cp "$here/jetpack-constraints.txt" "$folder/constraints.txt"
  "${pip[@]}" --constraint "$folder/constraints.txt" numpy ||
    fail "pip could not install NumPy" "see above" "Check the network and run this again"
  # Version, whether it has GStreamer, and its file.
  found=$("$folder/bin/python" -c '
import cv2
lines = cv2.getBuildInformation().splitlines()
print(cv2.__version__, any("GStreamer:" in line and "YES" in line for line in lines), cv2.__file__)') ||
    fail "the system's OpenCV cannot be imported" "see above" "sudo apt install --reinstall nvidia-opencv"
  read -r version gstreamer file <<<"$found"
  if [ "$gstreamer" = True ]; then
    printf '[install]\nconstraint = %s\n' "$folder/constraints.txt" >"$folder/pip.conf"
    "$folder/bin/python" - "$version" "$file" <<'PY'
import sys, sysconfig
from pathlib import Path

version, file = sys.argv[1:]
known = Path(sysconfig.get_path("purelib")) / f"opencv_python_headless-{version}.dist-info"
known.mkdir()
summary = f"The OpenCV of the system, {file}, which comes without metadata"
(known / "METADATA").write_text(
    f"Metadata-Version: 2.1\nName: opencv-python-headless\nVersion: {version}\nSummary: {summary}\n"
)
(known / "INSTALLER").write_text("snl-edge\n")
names = ("METADATA", "INSTALLER", "RECORD")
(known / "RECORD").write_text("".join(f"{known.name}/{name},,\n" for name in names))
PY
    echo "OpenCV $version of the system, with GStreamer: $file"
    opencv=system
  elif [ "$opencv" = system ]; then
    fail "OpenCV $version in $file has no GStreamer" "it is not JetPack's, which it may hide" \
      "Remove it (sudo pip3 uninstall opencv-python), or sudo apt install nvidia-opencv"
  else
    rm "$folder/constraints.txt"
    opencv=wheel
  fi
elif [ "$opencv" = system ]; then
  fail "the system has no OpenCV" "python3 finds no module cv2" "sudo apt install nvidia-opencv"
else
  opencv=wheel
fi
[ "$opencv" = system ] || echo "OpenCV is the wheel of the package index: CSI and GStreamer cameras do not work with it"

packages=("snl-edge[$extras] @ file://$wheel")
if [ "$pycuda" = yes ]; then
  cuda=${CUDA_HOME:-/usr/local/cuda}
  for header in cuda.h curand.h; do
    [ -f "$cuda/include/$header" ] ||
      fail "pycuda cannot be compiled" "$cuda/include/$header is missing" "Install the CUDA toolkit, or set CUDA_HOME"
  done
  # The stub of the driver's library is for linking where no driver is, as while a container is built.
  export PATH=$cuda/bin:$PATH LIBRARY_PATH=${LIBRARY_PATH:+$LIBRARY_PATH:}$cuda/lib64/stubs
  packages+=(pycuda)
fi
"${pip[@]}" "${packages[@]}" || fail "pip could not install ${packages[*]}" "see above" "Check the network and run this again"
if [ "$pycuda" = yes ]; then
  # Linkers drop a library that seems unused: pycuda would then fail on the device, at its first call.
  driver=$("$folder/bin/python" -c 'import importlib.util as i; print(*i.find_spec("pycuda").submodule_search_locations)')
  grep -q 'libcuda\.so' "$driver"/_driver*.so ||
    fail "pycuda was not linked with the driver" "$driver names no libcuda.so" "See whether $cuda/lib64/stubs is there"
fi

if [ "$opencv" = system ]; then
  now=$("$folder/bin/python" -c 'import cv2; print(cv2.__file__)')
  [ "$now" = "$file" ] || fail "$now hides the system's OpenCV" "a package brought it" "Install fewer --extras"
fi
"$folder/bin/snl-edge" --version >/dev/null
