#!/usr/bin/env bash
# Makes the pictures of the looks: assets/looks/make.sh [PROGRAM]. Needs ImageMagick's convert.
# The options say what src/tasks/dream/looks.rs says; a test there compares it with the recipes in the pictures.
set -eu
cd "$(dirname "$0")/../.."
oneiric=${1:-target/release/oneiric}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

look() { # NAME OPTION…
    "$oneiric" dream "$photo" --size 400 --quality 100 --out "$made/$1.jpg" --quiet "${@:2}"
    # The recipe stays: it is what the test reads.
    convert "$made/$1.jpg" -gravity center -crop 320x240+0+0 +repage -filter Lanczos -resize 160x120 \
        -quality 82 "assets/looks/$1.jpg"
}

photo=assets/chelsea.png
look vivid
look google-2015 --preset google-2015
look soft --octaves 5 --steps 8 --step-size 0.8
look own-colours --keep-colors
look strokes --layer block4 --steps 14
look ripples --layer block7 --octaves 6 --steps 16
look beads --layer block8
look garden --layer block12
look carnival --layer block14
look reef --class 'coral reef' --octaves 5 --steps 30 --tv 0.2
