#!/usr/bin/env bash
# Checks the minimum supported Rust version of the engine: msrv.sh
#
# Every dependency of the engine must state a version that is no newer, and where that toolchain is installed the
# engine is compiled with it. (What the engine itself uses of std is checked by clippy's incompatible_msrv, which is
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
seen, todo, newer = set(), [engine["id"]], []
while todo:
    current = todo.pop()
    if current in seen:
        continue
    seen.add(current)
    package = packages[current]
    if package["rust_version"] and version(package["rust_version"]) > version(stated):
        newer.append("%s %s needs Rust %s" % (package["name"], package["version"], package["rust_version"]))
    for dependency in nodes[current]["deps"]:
        # Dev-dependencies may be newer: users of the crate never build them.
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
            todo.append(dependency["pkg"])
for line in newer:
    print("msrv: " + line, file=sys.stderr)
if newer or len(seen) < 20:
    sys.exit("msrv: the stated Rust %s does not hold for %d crates" % (stated, len(seen)))
print("msrv: all %d crates of the engine allow Rust %s" % (len(seen), stated))
'

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if command -v rustup >/dev/null && rustup toolchain list 2>/dev/null | grep -q "^$msrv"; then
    cargo "+$msrv" check --locked -p natsbridge --all-features
    echo "msrv: the engine compiles with Rust $msrv"
else
    echo "msrv: Rust $msrv is not installed, so nothing was compiled with it"
fi
echo "msrv: ok"
