"""Candidates by any spelling of their addresses."""

from __future__ import annotations

from collections.abc import Sequence

from outreach_sdk.domain.contact import canonical
from outreach_sdk.storage.store import Store, in_marks

__all__ = ["canonical_sql", "create_index", "owners", "spelled_otherwise"]

MOST = 400
"""Addresses in one statement."""


def canonical_sql(store: Store, column: str) -> str:
    """`domain.contact.canonical` of a column, in SQL."""
    find = _find(store)
    at, plus = f"{find}({column}, '@')", f"{find}({column}, '+')"
    local = f"SUBSTR({column}, 1, (CASE WHEN {plus} > 0 THEN {plus} ELSE {at} END) - 1)"
    return (
        f"CASE WHEN SUBSTR({column}, {at}) IN ('@gmail.com', '@googlemail.com') "
        f"THEN REPLACE({local}, '.', '') || '@gmail.com' "
        f"WHEN {plus} > 0 THEN {local} || SUBSTR({column}, {at}) ELSE {column} END"
    )


def _find(store: Store) -> str:
    return "STRPOS" if store.dialect == "postgresql" else "INSTR"


def spelled_otherwise(store: Store, column: str) -> str:
    """Where a stored address isn't in its canonical form: what the index covers, so also what asks it. Looked at
    cheaply first, since every enrolment pays for it."""
    find = _find(store)
    return f"({find}({column}, '+') > 0 OR {find}({column}, '@g') > 0) AND {canonical_sql(store, column)} <> {column}"


def create_index(store: Store) -> None:
    """Those in their canonical form are found as they stand."""
    store.write(
        f"CREATE INDEX candidate_emails_canonical ON candidate_emails (workspace_id, "
        f"({canonical_sql(store, 'address')})) WHERE {spelled_otherwise(store, 'address')}"
    )


def owners(store: Store, workspace_id: int, addresses: Sequence[str]) -> dict[str, list[int]]:
    """Candidates by each of `addresses` (in lower case) that is theirs, those who have it as it stands before those
    who have another spelling of it."""
    found: dict[str, list[int]] = {}
    for start in range(0, len(addresses), MOST // 4):
        some = addresses[start : start + MOST // 4]
        bare = sorted({canonical(a) for a in some})
        spelled = sorted({*some, *bare})
        form = canonical_sql(store, "address")
        rows = store.rows(
            f"SELECT address, candidate_id FROM candidate_emails WHERE workspace_id = ? AND address IN {in_marks(spelled)} "
            f"UNION SELECT address, candidate_id FROM candidate_emails WHERE workspace_id = ? AND {form} IN {in_marks(bare)} "
            f"AND {spelled_otherwise(store, 'address')} ORDER BY 2",
            workspace_id,
            *spelled,
            workspace_id,
            *bare,
        )
        for address in some:
            exact = [int(r["candidate_id"]) for r in rows if r["address"] == address]
            alike = [
                int(r["candidate_id"]) for r in rows if canonical(str(r["address"])) == canonical(address)
            ]
            if exact or alike:
                found[address] = list(dict.fromkeys((*exact, *alike)))
    return found
