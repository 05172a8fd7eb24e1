#!/usr/bin/env bash
# Installs what a build of oneiric needs and this machine lacks; does nothing where nothing is missing.
#
#   .ci/setup.sh              a C linker and OpenBLAS
#   .ci/setup.sh COMPONENT…   these components of the Rust toolchain (rustfmt, clippy)
#   .ci/setup.sh screen       what the test of the window needs: a screen without a monitor, OpenGL in software, keys
set -euo pipefail

die() {
  echo "setup: $*" >&2
  exit 1
}

ensure_components() {
  local component
  for component in "$@"; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
    command -v rustup >/dev/null || die "cargo ${component/rustfmt/fmt} is missing; install the $component component"
    rustup component add "$component"
  done
}

# Whether a program that uses OpenBLAS links: true of any distribution's package, or of a build of one's own.
openblas_links() {
  local folder status=0
  folder=$(mktemp -d)
  echo 'int openblas_get_num_threads(void); int main(void) { return openblas_get_num_threads() < 0; }' |
    cc -x c - -o "$folder/probe" -lopenblas 2>/dev/null || status=1
  rm -r "$folder"
  return "$status"
}

apt_install() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "please install as root: apt-get install $*"
    as_root=(sudo)
  fi
  echo "setup: installing $*"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

ensure_linux_packages() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  if [ "${#missing[@]}" -gt 0 ] || ! openblas_links; then
    missing+=(libopenblas-dev pkg-config)
  fi
  [ "${#missing[@]}" -eq 0 ] && return
  if ! command -v apt-get >/dev/null; then
    die "please install a C compiler and OpenBLAS with its development files (Fedora: dnf install gcc openblas-devel;" \
      "Arch: pacman -S gcc openblas), or build without: cargo build --release --no-default-features"
  fi
  apt_install "${missing[@]}"
  openblas_links || die "OpenBLAS was installed but a program that uses it does not link (try: cc -lopenblas)"
}

# The commands and libraries that the test of the window needs, each with Debian's package. The libraries are those that
# the window itself looks for when it starts on X11.
ensure_screen() {
  local missing=() command library package known
  while read -r command package; do
    command -v "$command" >/dev/null || missing+=("$package")
  done <<'END'
Xvfb xvfb
xdotool xdotool
import imagemagick
END
  known=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
  while read -r library package; do
    grep -qF "$library" <<<"$known" || missing+=("$package")
  done <<'END'
libX11.so.6 libx11-6
libX11-xcb.so.1 libx11-xcb1
libXcursor.so.1 libxcursor1
libXi.so.6 libxi6
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libGL.so.1 libgl1
libEGL.so.1 libegl1
END
  compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null || missing+=(libgl1-mesa-dri)
  [ "${#missing[@]}" -eq 0 ] && return
  command -v apt-get >/dev/null || die "please install Xvfb, xdotool, ImageMagick and Mesa's software OpenGL"
  apt_install "${missing[@]}"
}

if [ "${1:-}" = screen ]; then
  ensure_screen
  exit
fi
if [ "$#" -gt 0 ]; then
  ensure_components "$@"
  exit
fi
command -v cargo >/dev/null || die "Rust is missing; see https://rustup.rs"
case $(uname -s) in
  Linux) ensure_linux_packages ;;
  Darwin) command -v cc >/dev/null || die "please install the command line tools: xcode-select --install" ;;
  *) command -v cc >/dev/null || die "please install a C compiler, and build with --no-default-features" ;;
esac
