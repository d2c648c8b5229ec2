#!/bin/sh
# Makes the secrets of compose.yaml, once, in .hannun-compose/, and tells compose in .env which group may read them.
#
#     sh deploy/compose/secrets.sh
set -eu
umask 027
cd "$(dirname "$0")/../.."
folder=.hannun-compose
group=$(id -g)

secret() {
    head -c 48 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 40
}

if [ -e "$folder/jwt_secret" ]; then
    echo "the secrets in $folder/ stay as they are"
else
    mkdir -p -m 750 "$folder"
    for name in postgres_password owner_password readwrite_password; do
        secret >"$folder/$name"
    done
    echo "postgresql://hannun_owner:$(cat $folder/owner_password)@postgres/analytics_db" >"$folder/owner_database_url"
    echo "postgresql://analytics_readwrite:$(cat $folder/readwrite_password)@postgres/analytics_db" >"$folder/database_url"
    secret >"$folder/jwt_secret"
    echo "made the secrets in $folder/"
fi
if ! grep -qs "^HANNUN_SECRETS_GROUP=$group\$" .env; then
    echo "HANNUN_SECRETS_GROUP=$group" >>.env
fi
