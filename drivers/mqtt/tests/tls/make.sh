#!/bin/sh
# Makes the certificates of tests/tls.rs anew. They protect nothing; the keys are public on purpose.
# Valid from 2020 for a hundred years (also where a clock is wrong), but for expired.pem. Needs OpenSSL 3.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
until=21200101000000Z

cat > "$work/ca.conf" <<'CONF'
[ca]
default_ca = it
[it]
database = $ENV::WORK/index
serial = $ENV::WORK/serial
new_certs_dir = $ENV::WORK
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = CA:FALSE
extendedKeyUsage = $ENV::USAGE
subjectAltName = $ENV::NAMES
CONF
: > "$work/index"
echo 1000 > "$work/serial"
export WORK="$work" USAGE=serverAuth NAMES=DNS:none

request() { # name
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1 for tests" \
        -keyout "$1.key" -out "$work/$1.csr" 2>/dev/null
}

authority() { # name
    request "$1"
    openssl ca -batch -notext -config "$work/ca.conf" -selfsign -extensions authority -in "$work/$1.csr" \
        -keyfile "$1.key" -out "$1.pem" -startdate 20200101000000Z -enddate "$until" 2>/dev/null
}

leaf() { # name, extended key usage, subject alternative names
    request "$1"
    USAGE=$2 NAMES=$3 openssl ca -batch -notext -config "$work/ca.conf" -cert ca.pem -keyfile ca.key \
        -extensions leaf -in "$work/$1.csr" -out "$1.pem" -startdate 20200101000000Z -enddate "$until" 2>/dev/null
}

authority ca
authority other-ca
leaf server serverAuth DNS:localhost,IP:127.0.0.1
leaf client clientAuth DNS:gateway
until=20200102000000Z
leaf expired serverAuth DNS:localhost,IP:127.0.0.1
rm ca.key other-ca.key
chmod 644 ./*.key
