#!/bin/sh
# Installs a release of flowlord from its archive, whose sum stands in SHA256SUMS beside it.
#
#   ./install.sh flowlord-0.1.0-x86_64-linux-musl.tar.gz
#   PREFIX=$HOME/.local ./install.sh flowlord-0.1.0-x86_64-linux-musl.tar.gz
#
# PREFIX is /usr/local unless it is set. Run it again with a newer archive to upgrade; a running service goes on with the
# old program until it is restarted.
set -eu

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

archive=${1:-}
prefix=${PREFIX:-/usr/local}
[ -n "$archive" ] || fail "name the archive: install.sh flowlord-VERSION-ARCH-linux-musl.tar.gz"
[ -f "$archive" ] || fail "$archive isn't there"
name=$(basename "$archive" .tar.gz)
folder=$(cd "$(dirname "$archive")" && pwd)
case $name in
  flowlord-*-"$(uname -m)"-linux-*) ;;
  *) fail "$archive is not for this machine, whose processor is $(uname -m)" ;;
esac

[ -f "$folder/SHA256SUMS" ] || fail "$folder/SHA256SUMS isn't there: download it with the archive"
wanted=$(awk -v name="$name.tar.gz" '$2 == name || $2 == "*" name { print $1 }' "$folder/SHA256SUMS")
[ -n "$wanted" ] || fail "SHA256SUMS doesn't list $name.tar.gz: download both from the same release"
found=$(sha256sum "$archive" | cut -d ' ' -f 1)
[ "$wanted" = "$found" ] || fail "$archive is damaged or not the one that SHA256SUMS lists: download it again"

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -xzf "$archive" -C "$unpacked"
cd "$unpacked/$name"

mkdir -p "$prefix/bin" "$prefix/share/man/man1" "$prefix/share/bash-completion/completions" \
  "$prefix/share/zsh/site-functions" "$prefix/share/fish/vendor_completions.d" "$prefix/share/doc/flowlord" ||
  fail "$prefix can't be written: run it as root, or set PREFIX to a folder of yours"
# Beside the old one, then in its place at once: a program that runs can't be overwritten.
cp flowlord "$prefix/bin/.flowlord.new"
chmod 755 "$prefix/bin/.flowlord.new"
"$prefix/bin/.flowlord.new" --version >/dev/null || fail "the program doesn't run on this machine"
mv "$prefix/bin/.flowlord.new" "$prefix/bin/flowlord"
cp man/*.1 "$prefix/share/man/man1/"
cp completions/flowlord.bash "$prefix/share/bash-completion/completions/flowlord"
cp completions/flowlord.zsh "$prefix/share/zsh/site-functions/_flowlord"
cp completions/flowlord.fish "$prefix/share/fish/vendor_completions.d/"
rm -rf "$prefix/share/doc/flowlord/examples"
cp -r README.md CHANGELOG.md LICENSE-* examples flowlord.service flowlord.toml "$prefix/share/doc/flowlord/"

cat <<END
$("$prefix/bin/flowlord" --version) is in $prefix/bin. Next:
  $prefix/bin/flowlord demo                                  # see it run
  $prefix/bin/flowlord serve --workflow ./workflows --data ./data
As a service of systemd: $prefix/share/doc/flowlord/flowlord.service says how.
END
