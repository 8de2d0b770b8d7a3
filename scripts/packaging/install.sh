#!/bin/sh
# Installs ilagent @VERSION@ from its release: downloads the file for this machine, checks it against the sum that this
# script carries, and only then puts it into place. Who checks this script (docs/install.md) has checked the file.
#
#     sh install.sh [--to FOLDER] [--form compiled|self-extracting] [--from URL]
set -eu

url='@URL@'
sums='
@SUMS@
'

usage='usage: sh install.sh [--to FOLDER] [--form compiled|self-extracting] [--from URL]'

main() {
  folder=/usr/local/bin form=compiled
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$usage"
    case $1 in
      --to) folder=$2 ;;
      --form) form=$2 ;;
      --from) url=${2%/} ;;
      *) fail "$usage" ;;
    esac
    shift 2
  done
  name=ilagent-$(platform)
  case $form in
    compiled) ;;
    self-extracting) name=$name-self-extracting ;;
    *) fail "$usage" ;;
  esac
  sum=$(printf '%s\n' "$sums" | sed -n "s/^\([0-9a-f]\{64\}\)  $name\$/\1/p")
  [ -n "$sum" ] || fail "this release has no $name"

  command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 ||
    fail "sha256sum or shasum is needed"
  # Beside its place, so that it gets there by a rename; on any way out it is gone.
  partial=$(mkdir -p "$folder" 2>/dev/null && mktemp "$folder/.ilagent.XXXXXX" 2>/dev/null) ||
    fail "cannot write into $folder: run this as root, or give a folder of your own with --to"
  trap 'rm -f "$partial"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM

  download "$url/$name" "$partial"
  found=$(checksum "$partial")
  [ "$found" = "$sum" ] ||
    fail "$url/$name is not the file of this release: its SHA-256 is $found, not $sum. Nothing was installed"
  chmod 755 "$partial"
  mv -f "$partial" "$folder/ilagent"
  echo "Installed ilagent @VERSION@ ($name) as $folder/ilagent"
}

platform() {
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) on_glibc linux-x64 ;;
    Linux-aarch64 | Linux-arm64) on_glibc linux-arm64 ;;
    Darwin-x86_64) echo macos-x64 ;;
    Darwin-arm64) echo macos-arm64 ;;
    *) fail "there is no ilagent for $(uname -s) on $(uname -m): releases are for Linux and macOS, x64 and arm64" ;;
  esac
}

on_glibc() {
  # musl's ldd knows no --version, and says who it is.
  case $(ldd --version 2>&1 || :) in
    *musl*) fail "there is no ilagent for musl: it needs a Linux with glibc, or the container image" ;;
  esac
  echo "$1"
}

download() {
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --proto '=https,http' --proto-redir '=https,http' \
      --retry 3 --output "$2" "$1" || fail "cannot download $1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -O "$2" "$1" || fail "cannot download $1"
  else
    fail "curl or wget is needed"
  fi
}

checksum() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
  else shasum -a 256 <"$1"
  fi | cut -d ' ' -f 1
}

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit 1
}

# At the end, so that a download of this script that broke off does nothing.
main "$@"
