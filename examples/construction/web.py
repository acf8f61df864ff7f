"""The office's web application: the same tables in PostgreSQL, as JSON over HTTP.

    python web.py postgresql+psycopg://user@host/database      prints the address at which it listens

    GET  /reports                   all daily reports
    POST /specifications            {"code", "name", "norm"}
    POST /estimates                 {"number", "total"}
    PUT  /estimates/NUMBER          {"signed"}
    PUT  /reports/DATE              {"remark"}
"""

import json
import sys
from datetime import date
from decimal import Decimal
from wsgiref.simple_server import WSGIRequestHandler, make_server

from sqlalchemy import select

from models import DailyReport, Estimate, WorkSpecification, described, open_session


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def reports(session, _, __):
    found = session.scalars(select(DailyReport).where(~DailyReport.is_deleted).order_by(DailyReport.date))
    return [described(report) for report in found]


def new_specification(session, _, body):
    session.add(WorkSpecification(code=body["code"], name=body["name"], norm=Decimal(body["norm"])))


def new_estimate(session, _, body):
    session.add(Estimate(number=body["number"], total=Decimal(body["total"])))


def sign(session, number, body):
    session.scalars(select(Estimate).where(Estimate.number == number)).one().signed = body["signed"]


def remark(session, day, body):
    found = session.scalars(select(DailyReport).where(DailyReport.date == date.fromisoformat(day))).one()
    found.remark = body["remark"]


ROUTES = {
    ("GET", "reports"): reports,
    ("POST", "specifications"): new_specification,
    ("POST", "estimates"): new_estimate,
    ("PUT", "estimates"): sign,
    ("PUT", "reports"): remark,
}


def application(url):
    open_session(url).close()

    def answer(environ, start_response):
        kind, _, name = environ["PATH_INFO"].strip("/").partition("/")
        route = ROUTES.get((environ["REQUEST_METHOD"], kind))
        if route is None:
            start_response("404 Not Found", [])
            return []
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with open_session(url) as session:
            result = route(session, name, json.loads(body or "null"))
            session.commit()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(result).encode()]

    return answer


def main():
    with make_server("127.0.0.1", 0, application(sys.argv[1]), handler_class=Quiet) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
