#!/bin/sh
# Runs once, when the container of PostgreSQL makes its data: the owner and the database. `hannun migrate` does the rest.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$(cat /run/secrets/owner_password)" --username postgres <<'SQL'
CREATE ROLE hannun_owner LOGIN CREATEROLE CREATEDB PASSWORD :'password';
CREATE DATABASE analytics_db OWNER hannun_owner;
SQL
