#!/usr/bin/env bash
# The real window on a screen of its own: the sample photo is dreamt, looked back at, saved and left, by keys alone.
#
#   tests/gui_smoke.sh ONEIRIC [FOLDER]     FOLDER keeps the screenshots; without it they go with everything else
#
# Needs Xvfb, xdotool and ImageMagick, and OpenGL in software: `make test` installs them.
set -euo pipefail

oneiric=$(realpath "$1")
kept=${2:-}
folder=$(mktemp -d)
export ONEIRIC_HOME="$folder/home" LIBGL_ALWAYS_SOFTWARE=1
unset WAYLAND_DISPLAY
size=1280x800
# How long anything may take before it is held to have failed; a busy machine is slow, but not that slow.
patience_s=300
window_pid=
screen_pid=

finish() {
  local status=$?
  [ -z "$window_pid" ] || kill "$window_pid" 2>/dev/null || true
  [ -z "$screen_pid" ] || kill "$screen_pid" 2>/dev/null || true
  if [ -n "$kept" ]; then
    mkdir -p "$kept"
    cp "$folder"/*.png "$kept" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ]; then
    echo "gui smoke: what the window said:" >&2
    cat "$folder/said" >&2 2>/dev/null || true
  fi
  rm -rf "$folder"
  exit "$status"
}
trap finish EXIT

die() {
  echo "gui smoke: $*" >&2
  exit 1
}

# Runs "$@" again and again until it succeeds.
until_holds() {
  local what=$1 end=$((SECONDS + patience_s))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || die "$what never came"
    if [ -n "$window_pid" ] && ! kill -0 "$window_pid" 2>/dev/null; then
      die "the window has gone while waiting for $what"
    fi
    sleep 0.2
  done
}

shot() {
  import -window root "$folder/$1.png"
}

# How far two screenshots are from each other on the canvas, from 0 to 1: the mean difference of its pixels.
canvas_difference() {
  local middle="640x420+340+110" a b
  for name in "$1" "$2"; do
    convert "$folder/$name.png" -crop "$middle" +repage "$folder/$name.canvas.png"
  done
  a="$folder/$1.canvas.png"
  b="$folder/$2.canvas.png"
  # compare fails where pictures differ; what it prints is wanted.
  { compare -metric MAE "$a" "$b" null: 2>&1 || true; } | sed 's/.*(\(.*\)).*/\1/'
}

differs() {
  shot "$2"
  awk -v d="$(canvas_difference "$1" "$2")" -v least="$3" 'BEGIN { exit !(d + 0 >= least) }'
}

colours() {
  convert "$folder/$1.png" -crop 640x420+340+110 +repage -format %k info:
}

shows_photo() {
  shot start
  [ "$(colours start)" -gt 5000 ]
}

keys() {
  local key
  for key in "$@"; do
    xdotool key --window "$window" "$key"
    sleep 0.15
  done
}

mkfifo "$folder/display"
Xvfb -displayfd 3 -screen 0 "${size}x24" -nolisten tcp 3>"$folder/display" >/dev/null 2>&1 &
screen_pid=$!
read -r number <"$folder/display"
export DISPLAY=":$number"

"$oneiric" >"$folder/said" 2>&1 &
window_pid=$!
find_window() {
  window=$(xdotool search --onlyvisible --name '^Oneiric$' 2>/dev/null | tail -n 1)
  [ -n "$window" ]
}
until_holds "the window" find_window
xdotool windowfocus "$window"
until_holds "the sample photo" shows_photo

# Space begins to dream: the canvas changes.
keys space
until_holds "a dream on the canvas" differs start dreaming 0.02
# Space holds it, the arrows go back, c compares with the photo.
keys space
keys Left Left Left
sleep 1
shot back
keys c
until_holds "the comparison" differs back compared 0.002
keys c ctrl+s
saved="$ONEIRIC_HOME/pictures/flower-dream.png"
until_holds "the saved dream" test -s "$saved"

# What the window saved, the command line repeats to the byte.
"$oneiric" dream --quiet --recipe "$saved" --out "$folder/again.png" >/dev/null
cmp "$saved" "$folder/again.png" || die "the command line makes another picture of the window's recipe"

# The other mode, and leaving.
keys ctrl+2
until_holds "the drawing of the net" differs back net 0.02
keys ctrl+1 ctrl+q
gone() { ! kill -0 "$window_pid" 2>/dev/null; }
end=$((SECONDS + patience_s))
until gone; do
  [ "$SECONDS" -lt "$end" ] || die "the window does not close"
  sleep 0.2
done
status=0
wait "$window_pid" || status=$?
window_pid=
[ "$status" -eq 0 ] || die "the window ended with $status"
[ -s "$ONEIRIC_HOME/data/session/session.toml" ] || die "the session was not kept"
[ ! -s "$folder/said" ] || die "the window had something to complain about"
echo "gui smoke: dreamt, gone back, saved, repeated, left"
