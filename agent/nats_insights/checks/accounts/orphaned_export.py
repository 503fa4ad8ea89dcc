"""ACCOUNTS_004: nobody imports what an account exports."""

from nats_insights.check import ACCOUNTZ_DETAIL, INFO, STATZ, Export, Finding, check


@check("ACCOUNTS_004", INFO, "consistency", needs=(STATZ, ACCOUNTZ_DETAIL), open_after=12)
def orphaned_export(export: Export) -> Finding | None:
    """Nobody imports what an account exports.

    Finds: no account of the same cluster imports a service or a stream that an account of the
    configuration exports, or a part of it. The system account is not looked at. Nor are accounts
    with JWTs: servers load those that are used, so there may be others that import it.

    Why: an export that is left over lets other accounts reach what nobody looks after any more. If
    it is new, the other account may be about to import a subject that is spelled otherwise.

    Do: ask the owner of {account} who needs {subject}. Remove the export from the configuration of
    the servers, or limit it to the accounts that may import it.

    Catalogue: corrected: judged only where all accounts are known, and nothing is broken: info.
    """
    if export.is_imported:
        return None
    account, _, kind, subject = export.names
    return Finding(
        summary=f"no account imports the {kind} {subject} of account {account}",
        evidence={"type": kind, "private": export.told.private},
    )
