#!/bin/sh
# Makes the secrets of docker-compose.yml, those that are not there yet: ./deploy/secrets.sh [DIR]
# A secret that is there is left as it is, so that it may be run again. None is printed.
set -eu
dir=${1:-secrets}
umask 077
mkdir -p "$dir"
chmod 700 "$dir"

random() { # 48 hexadecimal digits
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# Docker mounts a secret's file with the owner that it has here: its mode must let the containers' users read it. The
# directory's keeps others out.
put() { # NAME TEXT
  if [ ! -s "$dir/$1" ]; then
    printf '%s\n' "$2" >"$dir/.$1"
    chmod 644 "$dir/.$1"
    mv "$dir/.$1" "$dir/$1"
  fi
}

put postgres_password "$(random)"
put catalog_url "postgres://oxbow:$(cat "$dir/postgres_password")@postgres:5432/oxbow?sslmode=disable"
put redis_conf "requirepass $(random)"
put registry_url "redis://:$(sed -n 's/^requirepass //p' "$dir/redis_conf")@redis:6379"
put cluster_tokens "$(random)"
put admin_token "$(random)"
put aws_credentials "[default]
aws_access_key_id = oxbow
aws_secret_access_key = $(random)"
put grafana_password "$(random)"
echo "secrets are in $dir: the admin token is in $dir/admin_token, Grafana's password of admin in $dir/grafana_password"
