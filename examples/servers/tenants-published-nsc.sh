#!/bin/sh
# What tenants-published.conf says, in operator mode: the agent publishes as a user of OPS. Give it
# the names of the accounts that are tenants:
#
#     sh tenants-published-nsc.sh ORDERS BILLING && nsc push --all
#
# The system account is called SYS here. It, OPS and the tenants exist. Do not export `$INSIGHTS.>`
# from OPS, which covers what is exported to tenants.
set -eu

key() {
  nsc describe account "$1" --field sub | tr -d '"'
}

nsc add export --account SYS --name queries --subject 'INSIGHTS.API.>' --service --private
nsc add export --account SYS --name tenants-queries --subject 'INSIGHTS.ACCOUNT.*.API.*' --service \
  --account-token-position 3
# Servers compare the sixth token with the key of the account that imports it.
nsc add export --account OPS --name tenants --subject '$INSIGHTS.ADVISORY.*.ACCOUNT.*.*.>' \
  --account-token-position 6

token=$(mktemp)
trap 'rm -f "$token"' EXIT
nsc generate activation --account SYS --target-account "$(key OPS)" --subject 'INSIGHTS.API.>' \
  --output-file "$token"
nsc add import --account OPS --token "$token" --local-subject 'INSIGHTS.API.>'

for tenant in "$@"; do
  nsc add import --account "$tenant" --name advisories --src-account "$(key OPS)" \
    --remote-subject "\$INSIGHTS.ADVISORY.*.ACCOUNT.*.$(key "$tenant").>"
  nsc add import --account "$tenant" --name queries --src-account "$(key SYS)" --service \
    --remote-subject "INSIGHTS.ACCOUNT.$(key "$tenant").API.*" --local-subject 'INSIGHTS.API.*'
done
