# Sourced by the scripts of this folder: what they need that is not in the repository.

step() { printf '\n== %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "$0: cannot run \"$*\": be root, install sudo, or install these packages yourself" >&2
        exit 1
    fi
}

# Whether the package of this name is there, by what is used of it.
has() {
    case "$1" in
        gcc | libc6-dev) command -v cc ;;
        python3-venv) python3 -c 'import ensurepip, venv' 2>&1 ;;
        default-jre-headless) command -v java ;;
        faketime) compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' ;;
        procps) command -v pkill ;;
        mosquitto-clients) command -v mosquitto_pub ;;
        util-linux) command -v taskset ;;
        # Debian keeps it where not everybody's PATH leads.
        mosquitto) [ -x /usr/sbin/mosquitto ] ;;
        *) command -v "$1" ;;
    esac >/dev/null
}

# Installs those of these packages that are not there.
need() {
    if ! command -v cargo >/dev/null; then
        echo "$0: there is no cargo: install Rust as https://rustup.rs says" >&2
        exit 1
    fi
    local package policy=/usr/sbin/policy-rc.d missing=()
    for package in "$@"; do
        has "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    step "apt-get install ${missing[*]}"
    as_root apt-get update -q
    # The tests start their own broker: one that the package starts would have the port that the pages use.
    local ours=no status=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        ours=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" ||
        status=$?
    [ "$ours" = no ] || as_root rm -f "$policy"
    return "$status"
}
