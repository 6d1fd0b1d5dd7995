# Functions of tools/setup, tools/bench-setup and tools/bench-outside, which read this file: to
# install something, and to say in a line or two why that failed and what to do.
# shellcheck shell=bash

installer=${0##*/}

have() { command -v "$1" >/dev/null 2>&1; }
# Programs of the system are not in everybody's PATH.
daemon() { PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin have "$1"; }
say() { echo "$installer: $*"; }

# fail CAUSE FIX
fail() {
    printf '%s: error: %s\n%*sfix: %s\n' "$installer" "$1" $((${#installer} + 2)) '' "$2" >&2
    exit 1
}

# attempt WHAT RIGHTS COMMAND...: runs COMMAND quietly. When it fails, shows the end of its output
# and names the cause: package managers bury "no network" under pages about something else.
# RIGHTS is the fix when the user may not do this.
attempt() {
    local what=$1 rights=$2 output status=0
    shift 2
    output=$("$@" 2>&1 </dev/null) || status=$?
    [ "$status" != 0 ] || return 0

    tail -n 15 <<<"$output" | sed 's/^/    /' >&2
    said() { grep -qiE "$1" <<<"$output"; }
    if said 'could not resolve|temporary failure|name or service not known|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|network is unreachable|could not connect|unable to connect|failed to establish a new connection|connection (refused|timed out)|proxyerror'; then
        fail "$what: no network, or the package server cannot be reached" \
            "connect this machine (or set its proxy or mirror), then run this again"
    elif said 'no space left|ENOSPC'; then
        fail "$what: the disk is full" "free some space, then run this again"
    elif said 'EACCES|EPERM|permission denied|are you root|password is required|not in the sudoers|may not run|not allowed to execute'; then
        fail "$what: this user has not the right to do that" "$rights"
    elif said 'EUSAGE|in sync|lock file .* needs to be updated|cannot update the lock file'; then
        fail "$what: the manifest and its lock file disagree" \
            "update the lock file in that directory and commit it"
    elif said 'linker .* not found|failed to find tool|is .?cc.? installed|not found: make'; then
        fail "$what: a compiler is missing" \
            "as root: apt-get install build-essential, then run this again"
    else
        fail "$what: failed with status $status, see above" "mend that, then run this again"
    fi
}

own="let this user write to the repository (was it set up as root?), then run this again"

# debian WHY PACKAGE...
debian() {
    local why=$1 as=()
    shift
    have apt-get || fail "$* is missing ($why), and this is not a Debian system" \
        "install it with this system's own package manager"
    if [ "$(id -u)" != 0 ]; then
        have sudo || fail "$* is missing ($why), and only root may install it" \
            "as root: apt-get install $*"
        # Without a terminal nobody can type a password: fail at once instead of waiting for it.
        if [ -t 0 ]; then
            sudo -v || fail "$* is missing ($why), and sudo refused" "as root: apt-get install $*"
        fi
        as=(sudo -n)
    fi
    say "apt-get install $*: $why"
    attempt "apt-get install $*" "as root: apt-get install $*" apt "$@"
}

# `update` first, for a fresh image has no package lists and an old one stale lists. When it fails
# the installation tells whether that mattered: one broken repository of many does not.
apt() {
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    local install=("${get[@]}" install --no-install-recommends "$@")
    [ "${services:-on}" = on ] || install=(sh -c "$services_off" sh "${install[@]}")
    "${as[@]}" "${get[@]}" update || true
    "${as[@]}" "${install[@]}"
}

# without_services debian WHY PACKAGE...: the services in these packages are neither started now nor
# when the system starts.
without_services() {
    local services=off
    "$@"
}

# Run as root, with COMMAND... PACKAGE... behind it: what `invoke-rc.d` and `deb-systemd-invoke` ask
# says no meanwhile. A system with an answer of its own, such as a container, keeps it.
services_off='
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap "rm -f $policy" EXIT
    trap "exit 1" INT TERM HUP
    printf "#!/bin/sh\nexit 101\n" >"$policy"
    chmod 755 "$policy"
fi
"$@" || exit
for name; do
    unit=/etc/systemd/system/multi-user.target.wants/$name.service
    [ ! -L "$unit" ] || systemctl --quiet disable "$name.service" || rm -f "$unit"
done'

# npm_ci DIR WHY
npm_ci() {
    local lock=$1/package-lock.json
    [ -f "$lock" ] || fail "$lock is missing" "restore it from version control"
    # npm writes the second file at the end of an installation: it dates what is installed.
    [ "$lock" -nt "$1/node_modules/.package-lock.json" ] || return 0
    have npm || fail "npm is missing ($2)" "install Node.js 20 or newer with npm"
    say "npm ci in $1: $2"
    # Fewer and shorter retries than npm's own, which take minutes to report a missing network.
    attempt "npm ci in $1" "$own" \
        npm ci --prefix "$1" --no-audit --no-fund --prefer-offline \
        --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
}
