#!/bin/sh
# passwords.sh [FOLDER]: makes the secrets that docker/compose.yaml mounts, once: a password for each role of
# docker/users.acl, the file of users with their hashes, and a configuration with the url for each program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/secrets}
umask 077
mkdir -p "$folder"
[ -e "$folder/users.acl" ] && { echo "$folder/users.acl is there already: nothing was changed" >&2; exit 1; }
cp "$here/users.acl" "$folder/users.acl.new"
for role in submitter viewer worker scheduler deployer; do
	password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
	hash=$(printf %s "$password" | sha256sum | cut -d' ' -f1)
	sed -i "s/^user $role on /user $role on #$hash /" "$folder/users.acl.new"
	printf 'redis-url: redis://%s:%s@redis:6379\n' "$role" "$password" >"$folder/$role.yaml"
done
head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$folder/token"
chmod 644 "$folder"/* # the containers' own users read them; the folder is closed
mv "$folder/users.acl.new" "$folder/users.acl"
