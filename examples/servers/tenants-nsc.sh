#!/bin/sh
# What tenants.conf says, in operator mode. Give it the names of the accounts that are tenants:
#
#     sh tenants-nsc.sh ORDERS BILLING && nsc push --all
#
# The system account is called SYS here, OPS is the account of the operators. Both exist, and so do
# the tenants. The keys of the operator and of SYS are needed, therefore systems that are hosted by
# others cannot have this layout.
set -eu

key() {
  nsc describe account "$1" --field sub | tr -d '"'
}

# For all accounts, and so private: otherwise every tenant could import everything.
nsc add export --account SYS --name advisories --subject '$INSIGHTS.>' --private
nsc add export --account SYS --name queries --subject 'INSIGHTS.API.>' --service --private
# For each account what is its own: servers compare the third token with the key of who imports it.
nsc add export --account SYS --name tenants --subject 'INSIGHTS.ACCOUNT.*.ADVISORY.>' \
  --account-token-position 3
nsc add export --account SYS --name tenants-queries --subject 'INSIGHTS.ACCOUNT.*.API.*' --service \
  --account-token-position 3

token=$(mktemp)
trap 'rm -f "$token"' EXIT
for subject in '$INSIGHTS.>' 'INSIGHTS.API.>'; do
  nsc generate activation --account SYS --target-account "$(key OPS)" --subject "$subject" \
    --output-file "$token"
  nsc add import --account OPS --token "$token" --local-subject "$subject"
done

for tenant in "$@"; do
  own="INSIGHTS.ACCOUNT.$(key "$tenant")"
  nsc add import --account "$tenant" --name advisories --src-account "$(key SYS)" \
    --remote-subject "$own.ADVISORY.>" --local-subject 'insights.ADVISORY.>'
  nsc add import --account "$tenant" --name queries --src-account "$(key SYS)" --service \
    --remote-subject "$own.API.*" --local-subject 'INSIGHTS.API.*'
done
