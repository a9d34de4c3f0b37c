"""Enrolling: people and files into a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.given import several
from outreach_sdk.engine import first_steps, imports
from outreach_sdk.engine import people as people_rows
from outreach_sdk.engine.enroll import FIRM, HOLD_BACKS
from outreach_sdk.engine.headers import Mapper, mapper_of
from outreach_sdk.engine.outside import unchecked_notice
from outreach_sdk.errors import InvalidInput, OutreachError
from outreach_sdk.objects.report import EnrollmentReport
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.settings import preferred

__all__ = ["SequenceEnrolling"]


class SequenceEnrolling:
    """The part of a `Sequence` that takes people in."""

    id: int
    _session: Session

    if TYPE_CHECKING:

        @property
        def notice(self) -> str | None: ...

        def _row(self) -> dict[str, Any]: ...

    def enroll(
        self,
        people: Any,
        *,
        enrich: bool = False,
        paused: bool = False,
        mapping: Mapping[str, str | None] | None = None,
        prefer: str | None = None,
        dry_run: bool = False,
        override: str | Iterable[str] = (),
    ) -> EnrollmentReport:
        """Enrol a frame, dicts or a file. `prefer`: "work" | "personal", which of a candidate's addresses to use
        (default: the sequence's, one's own, the workspace's preference, else the address the row names). `dry_run`
        writes nothing. `override` lifts hold-backs by name (contacted_by_colleague, in_sequence_of_same_name,
        in_another_sequence, invalid_address, interview_ahead, off_limits, ats_in_process, ats_rejected, ats_hired,
        ats_unchecked). `enrich` has missing addresses found by the engine's workers; their journeys
        go on with them. ImportRefused where it can't be read as people."""
        lifted = several("override", override)
        _check_mapping(mapping)
        may = [name for name in HOLD_BACKS if name not in FIRM]
        if wrong := [name for name in lifted if name not in may]:
            raise InvalidInput("override", wrong, f"Use {', '.join(may)}.")
        preferred("prefer", prefer)
        if isinstance(people, (str, Path)) and not dry_run:
            return self._imported(Path(people), mapping, paused, lifted, prefer, wait=True, enrich=enrich)
        return self._enroll_rows(
            people, mapping, prefer, lifted, paused=paused, dry_run=dry_run, enrich=enrich
        )

    def _enroll_rows(
        self,
        people: Any,
        mapping: Mapping[str, str | None] | None,
        prefer: str | None,
        lifted: tuple[str, ...],
        *,
        paused: bool,
        dry_run: bool,
        enrich: bool,
    ) -> EnrollmentReport:
        table = people_rows.open_table(people, mapping=mapping, mapper=self._mapper())
        import_id, rehearsed = imports.enroll(
            self._session.engine,
            self._row(),
            self._session.user["id"],
            table,
            paused=paused,
            dry_run=dry_run,
            override=lifted,
            prefer=prefer,
            enrich=enrich,
        )
        return EnrollmentReport(
            self._session.engine, import_id, self._told(table), table.mapping, rehearsed=rehearsed
        )

    def _told(self, table: people_rows.Table) -> str | None:
        """The banner of an enrolment: why nothing is scheduled, why people couldn't be checked, which encoding
        was guessed."""
        session = self._session
        unchecked = unchecked_notice(session.store, session.workspace_id, session.now())
        told = (self.notice, self._late(), unchecked, table.notice)
        return " ".join(filter(None, told)) or None

    def _late(self) -> str | None:
        row, session = self._row(), self._session
        if not first_steps.first_has_passed(session.store, row, session.now()):
            return None
        when = "is paused" if row["active"] else "will be paused on activation"
        return (
            f"The date and time of the first step have passed: whoever is enrolled {when} as overdue. Give the step "
            "another time, and resume their journeys to send."
        )

    def import_csv(
        self,
        path: str | Path,
        *,
        mapping: Mapping[str, str | None] | None = None,
        paused: bool = False,
        wait: bool = True,
        ai: bool = True,
    ) -> EnrollmentReport:
        """Enrol a file's people, with a progress bar on long ones. Encoding and delimiter are found out.
        `wait=False` hands it to the engine's workers and returns at once; the report then tells what has been
        done so far. Either way the import owns a copy of the file until it is done, and another process goes
        on where this one stopped, should it die. Columns that the rules leave open are asked about at OpenAI, where
        a key is set and unless `ai` is False: the headers leave this machine, values only as shapes (`Xxx 99`).
        ImportRefused where the file can't be read as people."""
        if not isinstance(path, (str, Path)):
            raise InvalidInput("path", path, "Give the file's path; enroll takes frames and dicts.")
        _check_mapping(mapping)
        return self._imported(Path(path), mapping, paused, (), None, wait=wait, ai=ai)

    def _import_file(
        self,
        path: Path,
        mapping: Mapping[str, str | None] | None,
        paused: bool,
        override: tuple[str, ...],
        prefer: str | None,
        *,
        wait: bool,
        enrich: bool = False,
        ai: bool = True,
    ) -> EnrollmentReport:
        from tqdm.auto import tqdm

        engine = self._session.engine
        table = people_rows.open_table(path, mapping=mapping, mapper=self._mapper() if ai else None)
        options = {
            "paused": paused,
            "override": sorted(override),
            "prefer": prefer,
            "mapping": table.mapping,
            "enrich": enrich,
        }
        import_id, holder = imports.new_import(
            engine,
            self._row(),
            self._session.user["id"],
            path.name,
            options,
            parts=people_rows.file_parts(path),
            waiting=not wait,
        )
        report = EnrollmentReport(engine, import_id, self._told(table), table.mapping)
        if not wait:
            return report
        with tqdm(total=table.total, unit=" rows", desc="enrolling", delay=1.0, leave=False) as bar:
            try:
                imports.run_import(engine, import_id, holder, table, progress=bar.update)
            except imports.TakenOver:
                return report.wait()
            except OutreachError as exc:
                imports.fail_import(engine, import_id, holder, exc)
                raise
        return report

    def _imported(self, *given: Any, wait: bool, **more: Any) -> EnrollmentReport:
        """Behind the database's wall the engine's workers do it, and it is followed from here."""
        far = self._session.walled
        report = self._import_file(*given, wait=wait and not far, **more)
        return report.wait() if wait and far else report

    def _mapper(self) -> Mapper:
        return mapper_of(self._session.engine, self._session.workspace_id)


def _check_mapping(mapping: Any) -> None:
    if mapping is not None and not isinstance(mapping, Mapping):
        raise InvalidInput("mapping", mapping, 'Give field and column, like {"email": "E-Mail"}.')
