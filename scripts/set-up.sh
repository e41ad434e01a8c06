# Sourced by the scripts beside it. Finds the project, and ensures that its dependencies and its own
# Node are installed before anything is run with them.
#
# Sets: root, the project's folder; node, the Node to run it with; node_flags, its flags for Sluice.
# use_huge_pages is for servers.

# How long a second start waits for the installation of a first one.
lock_wait_seconds=600

set_up_fail() {
  echo "sluice: $1" >&2
  exit 1
}

# Without it, Node would print a stack and end before it runs anything.
need_working_folder() {
  env pwd -P >/dev/null 2>&1 || set_up_fail "the working folder is gone; change to one that is there"
}

# Finds the project's folder from the real path of a script in it.
find_root() {
  root=$(CDPATH='' cd -P "$(dirname "$1")/.." && pwd) || set_up_fail "cannot find its own folder"
  node=$root/node_modules/.bin/node
}

# Whether the project's Node runs. Prints the error if not. Refused options (code 9) are an error of
# the user, which a new installation would not fix.
node_works() {
  said=$("$node" --version 2>&1) && return 0
  code=$?
  [ "$code" -ne 9 ] || set_up_fail "Node does not take its options (NODE_OPTIONS): $said"
  [ "$code" -eq 126 ] || [ "$code" -eq 127 ] || echo "sluice: $node fails ($code): $said" >&2
  return 1
}

# npm writes its own lock file into node_modules when everything is in place.
installed() {
  [ -f "$root/node_modules/.package-lock.json" ] &&
    [ -z "$(find "$root/package-lock.json" -newer "$root/node_modules/.package-lock.json")" ]
}

install() {
  command -v npm >/dev/null 2>&1 ||
    set_up_fail "npm is missing; install Node 20 or newer, which has it: https://nodejs.org"
  command -v node >/dev/null 2>&1 ||
    set_up_fail "node is missing; install Node 20 or newer: https://nodejs.org"
  host_version=$(node --version)
  host_major=${host_version#v}
  [ "${host_major%%.*}" -ge 20 ] ||
    set_up_fail "Node 20 or newer is needed for the set-up; this is $host_version"

  if ! installed; then
    echo "sluice: installing dependencies (npm ci) ..." >&2
    # Errors are printed on standard error; npm's other output is suppressed.
    (cd "$root" && npm ci --include=dev --loglevel=error --no-progress >/dev/null) ||
      set_up_fail "npm ci failed; see above"
    # npm may restore an older date from its cache, but the file is as new as this installation.
    touch "$root/node_modules/.package-lock.json"
  fi
  if ! node_works; then
    # npm was told not to run install scripts, or the folder comes from another kind of machine.
    echo "sluice: fetching Node for this machine ..." >&2
    (cd "$root/node_modules/node" && node installArchSpecificPackage.js >/dev/null) ||
      set_up_fail "could not fetch Node; see above"
    # npm leaves out the link to a program that was not there yet.
    ln -sf ../node/bin/node "$node"
  fi
  node_works || set_up_fail "$node does not run on this machine: $said"
}

# Only one installation at a time in a folder. mkdir succeeds for one process only, which makes it
# the lock; the lock of a process that has ended is taken over.
lock=''
take_lock() {
  waited=0
  while ! mkdir "$root/.set-up-lock" 2>/dev/null; do
    [ -w "$root" ] || set_up_fail "cannot write to $root"
    holder=$(cat "$root/.set-up-lock/pid" 2>/dev/null || true)
    if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
      drop_stale_lock "$holder"
      continue
    fi
    [ "$waited" -gt 0 ] || echo "sluice: waiting for another set-up of this folder ..." >&2
    [ "$waited" -lt "$lock_wait_seconds" ] ||
      set_up_fail "another set-up holds $root/.set-up-lock; remove it if there is none"
    sleep 1
    waited=$((waited + 1))
  done
  lock=$root/.set-up-lock
  trap release_lock EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  echo $$ >"$lock/pid"
}

# Moves the lock aside first, so that only one of two processes that find it stale removes it; a
# lock that was taken in between belongs to another process and is put back.
drop_stale_lock() {
  aside=$root/.set-up-lock.$$
  mv "$root/.set-up-lock" "$aside" 2>/dev/null || return 0
  if [ "$(cat "$aside/pid" 2>/dev/null || true)" = "$1" ]; then rm -rf "$aside"
  else mv "$aside" "$root/.set-up-lock"
  fi
}

release_lock() {
  [ -z "$lock" ] || rm -rf "$lock"
  lock=''
}

# V8 uses helper threads for garbage collection and compilation, four unless told otherwise.
# Sluice's threads already use all cores, so four helpers mostly compete with them: with one for
# every eight cores a collection is shorter, and nothing else waits for it. The memory reducer is
# off, since it would collect a whole heap just because its thread is idle: heaps are small, jobs
# are not in them, and a send that is due would wait for some tens of milliseconds.
set_node_flags() {
  cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
  helpers=$((cores / 8))
  [ "$helpers" -ge 1 ] || helpers=1
  [ "$helpers" -le 4 ] || helpers=4
  node_flags="--disable-warning=ExperimentalWarning --v8-pool-size=$helpers --no-memory-reducer"
}

# Jobs are looked up all over some gigabytes. With pages of 4 KiB, nearly each look-up is a TLB
# miss; glibc asks Linux for pages of 2 MiB if this tunable is set, and where there are none,
# nothing changes. A value that the user has set is kept.
use_huge_pages() {
  GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}
  export GLIBC_TUNABLES
}

set_up() {
  need_working_folder
  find_root "$1"
  set_node_flags
  if ! installed || ! node_works; then
    take_lock
    # Another start may have installed it while this one waited.
    if ! installed || ! node_works; then install; fi
    release_lock
    trap - EXIT INT TERM
  fi
}
