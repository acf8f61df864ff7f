"""The desktop of a foreman: daily reports in a SQLite file.

    python desktop.py site.db report 2025-12-12 --estimate E-1 --line W-1=2.5 --line W-2=4
    python desktop.py site.db remark 2025-12-12 "rain since noon"
    python desktop.py site.db withdraw 2025-12-12
    python desktop.py site.db show
"""

import argparse
import json
from datetime import date
from decimal import Decimal

from sqlalchemy import select

from models import DailyReport, DailyReportLine, Estimate, WorkSpecification, described, open_session


def report(session, asked):
    estimate = session.scalar(select(Estimate).where(Estimate.number == asked.estimate))
    new = DailyReport(date=date.fromisoformat(asked.date), estimate=estimate)
    for line in asked.line:
        code, qty = line.split("=")
        specification = session.scalars(select(WorkSpecification).where(WorkSpecification.code == code)).one()
        new.lines.append(DailyReportLine(specification=specification, qty=Decimal(qty)))
    session.add(new)


def of_day(session, day):
    return session.scalars(select(DailyReport).where(DailyReport.date == date.fromisoformat(day))).one()


def remark(session, asked):
    of_day(session, asked.date).remark = asked.text


def withdraw(session, asked):
    of_day(session, asked.date).is_deleted = True


def show(session, asked):
    reports = session.scalars(select(DailyReport).where(~DailyReport.is_deleted).order_by(DailyReport.date))
    estimates = session.scalars(select(Estimate).order_by(Estimate.number))
    print(
        json.dumps(
            {
                "reports": [described(report) for report in reports],
                "estimates": {estimate.number: estimate.signed for estimate in estimates},
            }
        )
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("report")
    command.set_defaults(run=report)
    command.add_argument("date")
    command.add_argument("--estimate")
    command.add_argument("--line", action="append", default=[])
    command = commands.add_parser("remark")
    command.set_defaults(run=remark)
    command.add_argument("date")
    command.add_argument("text")
    command = commands.add_parser("withdraw")
    command.set_defaults(run=withdraw)
    command.add_argument("date")
    commands.add_parser("show").set_defaults(run=show)
    asked = parser.parse_args()
    with open_session(f"sqlite:///{asked.file}") as session:
        asked.run(session, asked)
        session.commit()


if __name__ == "__main__":
    main()
