#!/usr/bin/env bash
# Makes the certificates of tests/link_tls.rs anew. They are valid for a hundred years, and their keys protect nothing.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }

authority() { # file, name
    key "$work/$1.key"
    openssl req -x509 -new -key "$work/$1.key" -subj "/CN=$2" -days 36500 -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

certificate() { # file, key, authority, extensions, start, end
    openssl req -new -key "$2" -subj "/CN=$1" -out "$work/$1.csr"
    printf '%b\n' "$4" > "$work/$1.ext"
    mkdir -p "$work/ca" && : > "$work/ca/index" && openssl rand -hex 8 > "$work/ca/serial"
    cat > "$work/ca/config" <<EOF
[ca]
default_ca = here
[here]
database = $work/ca/index
serial = $work/ca/serial
new_certs_dir = $work/ca
default_md = sha256
policy = any
[any]
commonName = supplied
EOF
    openssl ca -batch -notext -config "$work/ca/config" -cert "$3.pem" -keyfile "$work/$3.key" \
        -in "$work/$1.csr" -extfile "$work/$1.ext" -startdate "$5" -enddate "$6" -out "$1.pem" 2> /dev/null
}

server='subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth'
client='extendedKeyUsage=clientAuth'
now=20200101000000Z
later=21200101000000Z
authority ca "natsbridge test authority"
authority stranger-ca "somebody else's authority"
key server.key
key client.key
certificate server server.key ca "$server" $now $later
certificate expired server.key ca "$server" $now 20210101000000Z
certificate client client.key ca "$client" $now $later
certificate stranger client.key stranger-ca "$client" $now $later
