# shellcheck shell=bash
# What the scripts share: where things are kept, how one fails, how a wheel is fetched.
# Sourced, never run.

# Everything that is fetched or derived lives here, outside the clone, so that
# every clone of a machine shares one copy (and one Go build cache).
cache=${XDG_CACHE_HOME:-${HOME:?set HOME, or XDG_CACHE_HOME, to have a place for the cache}/.cache}/justrl

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# need TOOL HINT: fails in one line when TOOL is not in PATH.
need() {
	command -v "$1" >/dev/null 2>&1 || die "$1 is missing: $2"
}

# need_go: a Go that can build this module.
need_go() {
	need go 'install Go 1.26 or later (https://go.dev/dl)'
	local version
	version=$(cd / && go env GOVERSION)
	case $version in
	go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.2[0-5]*)
		# Since 1.21 it fetches a newer one by itself, unless it is told not to.
		(cd "$(dirname "${BASH_SOURCE[0]}")/.." && go version >/dev/null 2>&1 && go list -m >/dev/null 2>&1) ||
			die "go is $version: install Go 1.26 or later (https://go.dev/dl)"
		;;
	esac
}

# need_pip: python3 that can fetch wheels.
need_pip() {
	need python3 'install it (Debian: apt-get install python3 python3-pip python3-venv)'
	python3 -m pip --version >/dev/null 2>&1 ||
		die 'python3 has no pip: install it (Debian: apt-get install python3-pip python3-venv)'
}

# locked NAME: holds the cache's lock NAME until the script ends. An exec'd
# command must not inherit it: close it with 9>&-.
locked() {
	need flock 'install util-linux'
	mkdir -p "$cache" 2>/dev/null || true
	[ -w "$cache" ] || die "cannot write in $cache: set XDG_CACHE_HOME to another folder"
	exec 9>"$cache/.$1.lock"
	if ! flock -n 9; then
		say "waiting for another process that holds $cache/.$1.lock"
		flock 9
	fi
}

# sha256_is FILE SUM
sha256_is() {
	[ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status
}

# hold_wheels: waits until no other process fetches into $cache/wheels. The caller
# is a block with 8>"$cache/.wheels.lock", at whose end it is let go. It comes after
# `locked`, never before, so that no two processes wait for each other.
hold_wheels() {
	if ! flock -n 8; then
		say "waiting for another process that fetches into $cache/wheels"
		flock 8
	fi
}

# wheel FILE SUM: leaves the wheel in $cache/wheels. A file that is not what was
# pinned (truncated, corrupt) is fetched again; one that never is fails here.
wheel() {
	sha256_is "$cache/wheels/$1" "$2" && return
	need_pip
	{
		hold_wheels
		fetch_wheel "$@"
	} 8>"$cache/.wheels.lock"
}

# fetch_wheel FILE SUM, with the wheels held
fetch_wheel() {
	local file=$1 sum=$2 dir=$cache/wheels name version rest tmp log
	sha256_is "$dir/$file" "$sum" && return # by the process that held them
	[ ! -e "$dir/$file" ] || say "$dir/$file is damaged: fetching it again"
	name=${file%%-*} rest=${file#*-}
	version=${rest%%-*}
	mkdir -p "$dir"
	rm -rf "$dir"/.fetch.* # of fetches that were killed
	tmp=$(mktemp -d "$dir/.fetch.XXXXXX") || die "cannot write in $dir"
	say "fetching $file"
	# The tags are given, so that any python3 may do the fetching.
	if ! log=$(python3 -m pip --disable-pip-version-check download --quiet --no-deps --no-cache-dir \
		--only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
		--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
		--platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
		--dest "$tmp" "$name==$version" 2>&1); then
		rm -rf "$tmp"
		case $log in
		*'No space left on device'*) die "cannot fetch $name==$version: the disk of $dir is full" ;;
		esac
		die "cannot fetch $name==$version with pip: is a package index reachable? (pip: $(tail -n 1 <<<"$log"))"
	fi
	if ! sha256_is "$tmp/$file" "$sum"; then
		local got
		got=$(cd "$tmp" && sha256sum -- *)
		rm -rf "$tmp"
		die "the index sent ${got//$'\n'/, }: not the pinned $file with sha256 $sum"
	fi
	mv -f "$tmp/$file" "$dir/$file"
	rm -rf "$tmp"
}

# python311: prints a python of the minor version whose wheels are pinned, found
# under either name or given as PYTHON, that can make virtual environments.
python311() {
	local candidates=(python3.11 python3) candidate
	[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
	for candidate in "${candidates[@]}"; do
		[ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.11 ] || continue
		"$candidate" -c 'import ensurepip, venv' 2>/dev/null ||
			die "$candidate cannot make virtual environments: install its venv (Debian: apt-get install python3-venv)"
		printf '%s\n' "$candidate"
		return
	done
	candidate=${candidates[-1]}
	die "Python 3.11 is needed, whose wheels are pinned, and $candidate is $("$candidate" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo missing): set PYTHON=/path/to/python3.11"
}

# new_env PYTHON DIR: an empty virtual environment in DIR. It cannot be renamed, its
# path is in its scripts: it is made in place, and the caller writes a marker when it
# is proven.
new_env() {
	rm -rf "$2"
	"$1" -m venv "$2"
}

# wheel_env PYTHON DIR REQUIREMENTS: a new_env with exactly the pinned wheels.
wheel_env() {
	new_env "$1" "$2"
	install_wheels "$2/bin/python" "$3" --no-compile
}

# install_wheels PYTHON REQUIREMENTS [OPTION…]: the pinned wheels, with pip's options.
install_wheels() {
	local python=$1 requirements=$2 pip install
	shift 2
	pip=("$python" -m pip --disable-pip-version-check --no-input)
	install=("${pip[@]}" install --quiet --no-cache-dir --no-deps --require-hashes
		--no-index --find-links "$cache/wheels" "$@" --requirement "$requirements")
	mkdir -p "$cache/wheels"
	{
		hold_wheels
		# From the wheels in the cache, if they are all there and whole; else fetch
		# those that are not. torch's is the one that scripts/libtorch unpacks.
		if ! "${install[@]}" 2>/dev/null; then
			say "fetching wheels into $cache/wheels"
			"${pip[@]}" download --quiet --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
				--dest "$cache/wheels" --requirement "$requirements" >&2 ||
				die 'cannot fetch the wheels with pip: is a package index reachable?'
			"${install[@]}" >&2 || die "cannot install the wheels of $cache/wheels"
		fi
	} 8>"$cache/.wheels.lock"
}
