#!/usr/bin/env bash
# Oneiric against PyTorch on this machine: the same steps in turn, net by net, for several sittings, then the ratios.
#
#   tests/benches/peer.sh [ONEIRIC]    the program to measure; target/release/oneiric if not given
#
# Machines drift, so only times taken close together are compared. Set by the environment:
#   PEER_PYTHON    an interpreter that has torch and torchvision; without it a virtual environment is made once
#   PEER_PIP_ARGS  further arguments of pip for that environment, such as an index that has CPU-only wheels
#   PEER_KINDS     dream, forward, train; all of them if not given
#   PEER_NETS PEER_SIZES PEER_ROUNDS PEER_SITTINGS PEER_THREADS; sizes such as 224,512,1024 are those of dream steps
#   PEER_MARKDOWN  if set, the table comes as the README has it
#   PEER_OUT       where the raw JSON lines go, a file each for oneiric, default and tuned
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
oneiric=${1:-$target/release/oneiric}
kinds=${PEER_KINDS:-dream,forward,train}
nets=${PEER_NETS:-lite0,googlenet,googlenet-bvlc,vgg16,resnet50,squeezenet,lenet,cifar10-quick}
sizes=${PEER_SIZES:-224,512}
rounds=${PEER_ROUNDS:-7}
sittings=${PEER_SITTINGS:-3}
threads=${PEER_THREADS:-$(getconf _NPROCESSORS_ONLN)}
out=${PEER_OUT:-$target/peer}

fail() {
  echo "peer.sh: $1" >&2
  exit 1
}

can_import_torch() {
  "$1" -c 'import torch, torchvision' 2>/dev/null
}

# Prints the interpreter to use, making the virtual environment if need be.
find_python() {
  if [ -n "${PEER_PYTHON:-}" ]; then
    can_import_torch "$PEER_PYTHON" || fail "PEER_PYTHON=$PEER_PYTHON cannot import torch and torchvision"
    echo "$PEER_PYTHON"
    return
  fi
  local venv=$target/peer-venv
  if ! can_import_torch "$venv/bin/python"; then
    echo "Installing PyTorch into $venv; set PEER_PYTHON to use one that is there." >&2
    python3 -m venv "$venv" >&2 || fail "python3 cannot make a virtual environment; on Debian install python3-venv"
    # shellcheck disable=SC2086  # PEER_PIP_ARGS holds several arguments
    "$venv/bin/pip" install --quiet --disable-pip-version-check ${PEER_PIP_ARGS:-} torch torchvision numpy >&2 ||
      fail "pip could not install torch and torchvision"
  fi
  echo "$venv/bin/python"
}

[ -x "$oneiric" ] || fail "there is no program at $oneiric; build it with: cargo build --release"
python=$(find_python)
mkdir -p "$out"
: >"$out/oneiric.jsonl"
: >"$out/default.jsonl"
: >"$out/tuned.jsonl"

torch_step() {
  "$python" "$here/torch_step.py" --kinds "$1" --nets "$2" --modes "$3" --sizes "$sizes" --rounds "$rounds" --threads "$threads"
}

# Whether a kind measures a net at all.
measures() {
  case "$1:$2" in
    dream:lenet | dream:cifar10-quick) return 1 ;;
    dream:* | forward:lite0 | forward:lenet | train:lenet | train:cifar10-quick) return 0 ;;
    *) return 1 ;;
  esac
}

for ((sitting = 1; sitting <= sittings; sitting++)); do
  for kind in ${kinds//,/ }; do
    for net in ${nets//,/ }; do
      measures "$kind" "$net" || continue
      echo "sitting $sitting of $sittings: $kind $net" >&2
      "$oneiric" bench --json --kinds "$kind" --nets "$net" --sizes "$sizes" --rounds "$rounds" --threads "$threads" \
        >>"$out/oneiric.jsonl"
      torch_step "$kind" "$net" default >>"$out/default.jsonl"
      MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
        torch_step "$kind" "$net" tuned >>"$out/tuned.jsonl"
    done
  done
done
"$python" "$here/compare.py" ${PEER_MARKDOWN:+--markdown} "$out"
