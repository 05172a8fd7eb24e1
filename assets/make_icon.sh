#!/usr/bin/env bash
# Makes the icon: assets/make_icon.sh [PROGRAM]. Needs ImageMagick's convert.
# An eye whose iris is a dream from noise: a strip of it, mirrored, goes six times around the pupil.
set -eu
cd "$(dirname "$0")/.."
oneiric=${1:-target/release/oneiric}
icon=$PWD/assets/icon.png
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$oneiric" dream --from-noise 256x512 --layer block9 --octaves 5 --out "$made/strip.png" --quiet
cd "$made"

# The iris, tinted so that it has a colour at 32 pixels too, and dark at its rim.
convert strip.png -modulate 112,150 \( +clone -flop \) +append wedge.png
convert wedge.png wedge.png wedge.png wedge.png wedge.png wedge.png +append -virtual-pixel HorizontalTile \
    +distort Polar 512,0 +repage -gravity center -background black -extent 1024x1024 around.png
convert -size 1024x1024 radial-gradient:'#ffc22e'-'#009fc7' tint.png
convert -size 1024x1024 radial-gradient:white-black -level 0,26% rim.png
convert around.png tint.png -compose blend -define compose:args=50,50 -composite -modulate 100,160 \
    -sigmoidal-contrast 4x50% rim.png -compose multiply -composite -resize 1120x1120 \
    \( -size 1120x1120 xc:black -fill white -draw 'circle 560,560 560,6' \) -alpha off -compose CopyOpacity \
    -composite iris.png

# The ground, the white and the eye, drawn four times too large.
lids='path "M 200,1024 C 520,480 800,400 1024,400 C 1248,400 1528,480 1848,1024
    C 1528,1568 1248,1648 1024,1648 C 800,1648 520,1568 200,1024 Z"'
convert -size 2048x2048 gradient:'#5b35b0'-'#140930' \
    \( -size 2048x2048 xc:black -fill white -draw 'roundrectangle 64,64 1983,1983 440,440' \) \
    -alpha off -compose CopyOpacity -composite ground.png
convert -size 2048x2048 xc:none -fill '#fff4e0' -draw "$lids" white.png
convert ground.png white.png -compose over -composite iris.png -gravity center -composite \
    -fill '#0d0524' -draw 'circle 1024,1024 1024,824' -fill '#ffffffee' -draw 'circle 1150,880 1150,796' \
    -filter Lanczos -resize 512x512 -strip -colors 255 -depth 8 -define png:compression-level=9 "$icon"
