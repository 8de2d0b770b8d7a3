#!/bin/sh
# ilagent: its runtime and its program, both compressed, follow this head. The first start extracts both into a
# private folder, every later start only checks that folder and becomes the runtime (one child process: ls).
set -eu

main() {
  open_cache
  runtime=$cache/deno-@RUNTIME_SHA256@
  program=$cache/ilagent-@PROGRAM_SHA256@
  is_first=
  usable || { extract; is_first=1; }

  export DENO_DIR="$cache/deno" DENO_NO_UPDATE_CHECK=1
  # glibc gives each thread a heap of its own, and keeps what each once held: some MB more under load.
  export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}"
  deny_response_cache
  unset NODE_OPTIONS # its --require would run other code with the rights of this program
  [ -t 2 ] || export NO_COLOR=1
  [ -z "$is_first" ] || fill_caches
  exec "$runtime" run @RUN_FLAGS@ "$program/@PROGRAM@" "$@"
}

# What lies in the cache is executed without another look, so nobody else may be able to put anything there.
open_cache() {
  if [ -n "${ILAGENT_CACHE_DIR:-}" ]; then cache=$ILAGENT_CACHE_DIR
  elif [ -n "${XDG_CACHE_HOME:-}" ]; then cache=$XDG_CACHE_HOME/ilagent
  elif [ -n "${HOME:-}" ]; then cache=$HOME/.cache/ilagent
  else cache=/var/cache/ilagent
  fi
  case $cache in /*) ;; *) cache=$PWD/$cache ;; esac

  [ -d "$cache" ] || (umask 077 && mkdir -p "$cache") 2>/dev/null ||
    fail "cannot create the cache folder $cache: set ILAGENT_CACHE_DIR to a folder you can write"
  [ -O "$cache" ] ||
    fail "the cache folder $cache belongs to another user: set ILAGENT_CACHE_DIR to a folder of your own"
  # The dot looks through a symbolic link.
  mode=$(ls -ld "$cache/." 2>/dev/null) ||
    fail "cannot read the cache folder $cache: set ILAGENT_CACHE_DIR to another one"
  case $mode in
    ?????w* | ????????w*)
      fail "others can write the cache folder $cache: chmod 700 it or set ILAGENT_CACHE_DIR to another one" ;;
  esac
}

# A file of another owner, or a link, which may lead to any file of ours, dates from a time when others could write
# here. On Linux -x is also false where the file system has become noexec: then extract() runs again and says so.
usable() {
  own "$runtime" && [ -x "$runtime" ] && own_folder "$program" || return 1
  for file in $files; do
    own "$program/${file#*:}" && [ -r "$program/${file#*:}" ] || return 1
  done
}

# Deno reads the modules through at their first use, and the process that does so keeps 30 MB more for as long as it
# lives. The agent may live for months, so a short-lived process goes first: `map` starts a worker, and reaches nothing.
fill_caches() {
  printf '{"integrationKey":"none"}' |
    "$runtime" run @RUN_FLAGS@ "$program/@PROGRAM@" map --topic t >/dev/null 2>&1 || :
}

# Into this folder Deno's `caches` writes for whoever asks, without a permission: a file in its place denies that.
# Where none can be made, `caches` cannot write either.
deny_response_cache() {
  responses=$DENO_DIR/location_data
  [ -f "$responses" ] || { rm -rf "$responses" && mkdir -p "$DENO_DIR" && printf '' >"$responses"; } 2>/dev/null || :
}

own() {
  [ ! -L "$1" ] && [ -f "$1" ] && [ -O "$1" ]
}

own_folder() {
  [ ! -L "$1" ] && [ -d "$1" ] && [ -O "$1" ]
}

# Everything is extracted, verified and tried in a folder of this process, then renamed into place: starts that
# run at the same time do the same work twice, and the first of them puts it there. The program appears as a whole and
# is not replaced, because Deno asks for a right to read a module that was not there when it looked for it first.
extract() {
  find_self
  check_machine
  work=
  trap '[ -z "$work" ] || rm -rf "$work"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # What a killed start left behind, once it is a day old.
  find "$cache"/extract.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || :
  work=$(mktemp -d "$cache/extract.XXXXXX" 2>/dev/null) ||
    fail "cannot write into the cache folder $cache: set ILAGENT_CACHE_DIR to a folder you can write"

  unpack runtime $((head_bytes + 1)) "$runtime_bytes" @RUNTIME_SHA256@
  unpack program $((head_bytes + runtime_bytes + 1)) "$program_bytes" @PROGRAM_SHA256@
  cut_up
  chmod 500 "$work/runtime"
  try_runtime
  usable || put

  rm -rf "$work"
  trap - EXIT HUP INT TERM
}

# The modules of the program follow each other in what was unpacked.
cut_up() {
  modules=$work/${program##*/}
  (umask 077 && mkdir "$modules") || fail "cannot write into the cache folder $cache"
  at=1
  for file in $files; do
    tail -c "+$at" "$work/program" | head -c "${file%%:*}" 2>/dev/null >"$modules/${file#*:}" ||
      fail "cannot extract the program into $cache (is the disk full?)"
    chmod 400 "$modules/${file#*:}"
    at=$((at + ${file%%:*}))
  done
}

# Into a folder of its name mv would put the runtime, and succeed. The program's folder it cannot put over another one.
put() {
  [ ! -d "$runtime" ] || rm -rf "$runtime"
  mv -f "$work/runtime" "$runtime" || fail "cannot write into the cache folder $cache"
  mv "$modules" "$cache/" 2>/dev/null || usable ||
    { rm -rf "$program" && mv "$modules" "$cache/" 2>/dev/null; } || usable ||
    fail "cannot write into the cache folder $cache"
}

# Where this head starts its payloads. The space after the first number is part of it: see self_extracting.ts.
head_bytes=@HEAD_BYTES@
runtime_bytes=@RUNTIME_BYTES@
program_bytes=@PROGRAM_BYTES@
# Each with its length before it, the one to run first.
files='@FILES@'

# The kernel passes a path. Only `sh ilagent` gives a bare name, which sh looks up here first and then in PATH.
find_self() {
  self=$0
  case $self in
    */*) ;;
    *) if [ -f "./$self" ]; then self=./$self; else self=$(command -v -- "$self") || :; fi ;;
  esac
  [ -r "$self" ] || fail "cannot read this file: it needs read permission to extract itself"
}

# Without this a shell may take a runtime for another processor for a script and run that.
check_machine() {
  machine=$(uname -s)-$(uname -m)
  case $machine in
    @MACHINES@) ;;
    *) fail "this file is for @TARGET@, this machine is $machine" ;;
  esac
  command -v gzip >/dev/null 2>&1 || fail "gzip is needed for the first start"
  command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 ||
    fail "sha256sum or shasum is needed for the first start"
}

# unpack <name> <first byte> <bytes> <sha-256>
unpack() {
  reason=$(tail -c "+$2" "$self" 2>/dev/null | head -c "$3" 2>/dev/null | gzip -dc 2>&1 >"$work/$1") ||
    fail "cannot extract the $1 into $cache: ${reason##*: } (is the disk full, or this file damaged?)"
  sum=$(checksum <"$work/$1") || fail "cannot read what was extracted into $cache"
  [ "${sum%% *}" = "$4" ] || fail "cannot extract the $1: its checksum is wrong, this file is damaged"
}

checksum() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}

try_runtime() {
  code=0
  "$work/runtime" --version </dev/null >/dev/null 2>&1 || code=$?
  case $code in
    0) ;;
    126) fail "the cache folder $cache is mounted noexec: set ILAGENT_CACHE_DIR to a folder that allows programs" ;;
    *) fail "the runtime does not start on this system (exit code $code): it is built for @TARGET@" ;;
  esac
}

fail() {
  printf 'ilagent: %s\n' "$1" >&2
  exit 1
}

main "$@"
