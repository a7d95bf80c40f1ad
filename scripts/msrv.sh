#!/usr/bin/env bash
# Checks the minimum supported Rust version of the engine: msrv.sh
#
# No dependency of the engine may state a version that is newer; those that state none are listed, and only compiling can
# tell of them. Where that toolchain is installed the engine is compiled with it. (What the engine itself uses of std is checked by clippy's incompatible_msrv, which is
# denied for the whole workspace.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n "s/^host: //p")
cargo metadata --locked --format-version 1 --all-features --filter-platform "$host" | python3 -c '
import json, sys

metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
version = lambda text: tuple(int(part) for part in (text + ".0.0").split(".")[:3])

engine = next(package for package in packages.values() if package["name"] == "natsbridge")
stated = engine["rust_version"]
seen, todo, newer, silent = set(), [engine["id"]], [], []
while todo:
    current = todo.pop()
    if current in seen:
        continue
    seen.add(current)
    package = packages[current]
    if not package["rust_version"]:
        silent.append("%s %s" % (package["name"], package["version"]))
    elif version(package["rust_version"]) > version(stated):
        newer.append("%s %s needs Rust %s" % (package["name"], package["version"], package["rust_version"]))
    for dependency in nodes[current]["deps"]:
        # Dev-dependencies may be newer: users of the crate never build them.
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
            todo.append(dependency["pkg"])
for line in newer:
    print("msrv: " + line, file=sys.stderr)
if newer or len(seen) < 20:
    sys.exit("msrv: the stated Rust %s does not hold for %d crates" % (stated, len(seen)))
print("msrv: %d of the engine\x27s %d crates allow Rust %s" % (len(seen) - len(silent), len(seen), stated))
if silent:
    print("msrv: %d state no version: %s" % (len(silent), ", ".join(sorted(silent))))
'

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if command -v rustup >/dev/null && rustup toolchain list 2>/dev/null | grep -q "^$msrv"; then
    cargo "+$msrv" check --locked -p natsbridge --all-features
    echo "msrv: ok: what the crates state, and the engine compiles with Rust $msrv"
else
    echo "msrv: ok: what the crates state; NOT CHECKED: compiling, for Rust $msrv is not installed"
fi
