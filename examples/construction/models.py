"""The tables of a construction company, for the desktop and for the web alike.

Nothing here knows of other databases.
"""

import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Numeric, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


class Base(DeclarativeBase):
    pass


class Entity:
    """What every business object has."""

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    updated_at: Mapped[datetime.datetime] = mapped_column(default=now, onupdate=now)
    is_deleted: Mapped[bool] = mapped_column(default=False)


class WorkSpecification(Entity, Base):
    __tablename__ = "work_specifications"

    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str]
    norm: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))


class Estimate(Entity, Base):
    __tablename__ = "estimates"

    number: Mapped[str] = mapped_column(unique=True)
    total: Mapped[Decimal] = mapped_column(Numeric(18, 2))
    signed: Mapped[bool] = mapped_column(default=False)


class DailyReport(Entity, Base):
    __tablename__ = "daily_reports"

    date: Mapped[datetime.date]
    estimate_id: Mapped[int | None] = mapped_column(ForeignKey("estimates.id"))
    remark: Mapped[str | None]
    estimate: Mapped[Estimate | None] = relationship()
    lines: Mapped[list["DailyReportLine"]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="DailyReportLine.id"
    )


class DailyReportLine(Base):
    __tablename__ = "daily_report_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("daily_reports.id", ondelete="CASCADE"), index=True)
    specification_id: Mapped[int] = mapped_column(ForeignKey("work_specifications.id"))
    qty: Mapped[Decimal] = mapped_column(Numeric(12, 3))
    specification: Mapped[WorkSpecification] = relationship()


def open_session(url: str) -> Session:
    """A session on a database whose tables are made where they are missing."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    Base.metadata.create_all(engine)
    return Session(engine)


def described(report: DailyReport) -> dict:
    """A report as people and pages see it."""
    return {
        "uuid": str(report.uuid),
        "date": report.date.isoformat(),
        "estimate": report.estimate.number if report.estimate else None,
        "remark": report.remark,
        "lines": [{"code": line.specification.code, "qty": f"{line.qty:.3f}"} for line in report.lines],
    }
