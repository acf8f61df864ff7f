"""Pages and live clients with python-socketio, and its write-only Redis manager as the back end that publishes.

The first line of standard input says what to be: {"be": "clients", "url", "token", "message_bytes"} runs every
scenario and prints `ok <scenario>` or why one failed; {"be": "publisher", "redis"} publishes one event for each
further line {"event", "data" or "hex", "room"} and prints `ok published`.
"""

import json
import queue
import sys
import time
import urllib.request

import socketio

PATIENCE = 60
WAYS = (("websocket", ["websocket"]), ("polling", ["polling"]), ("upgrade", None))


def check(condition, *told):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in told))


def reason_of(error):
    return f"{type(error).__name__}: {error}".replace("\n", " | ")


class Page:
    def __init__(self, where, transports, **auth):
        self.heard = queue.Queue()
        self.client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0)
        self.connects = 0
        self.refusals = []
        self.client.on("connect", self._connected)
        self.client.on("connect_error", self.refusals.append)
        self.client.on("*", lambda event, *data: self.heard.put((event, data[0] if data else None)))
        auth = auth or {"token": where["token"]}
        try:
            self.client.connect(where["url"], auth=auth, transports=transports, wait_timeout=PATIENCE)
        except socketio.exceptions.ConnectionError as error:
            check(self.refusals, "it cannot connect:", error)

    def _connected(self):
        self.connects += 1

    def call(self, event, data=None):
        return self.client.call(event, data, timeout=PATIENCE)

    def join(self, room):
        check(self.call(f"{room}:join", {"ts": 1}) == {"success": True, "room": room}, "it cannot join", room)

    def next(self):
        return self.heard.get(timeout=PATIENCE)


def publish(where, **event):
    body = json.dumps(event).encode()
    request = urllib.request.Request(where["url"] + "/api/sync/emit", body, {"authorization": "Bearer " + where["token"]})
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        return json.load(reply)["seq"]


def rooms(where, transports, page):
    one, two, stranger = page(), page(), page()
    one.join("files")
    two.join("files")
    two.join("files")
    stranger.join("users")
    seq = publish(where, event="files:changed", reason="added", id=7, data={"name": "číslo"})
    fence = publish(where, event="fence", reason="updated", room=None)
    for member in (one, two):
        event, envelope = member.next()
        check(event == "files:changed" and envelope["seq"] == seq, envelope)
        check(list(sorted(envelope)) == ["data", "id", "reason", "scope", "seq", "worker"], envelope)
        check(envelope["id"] == 7 and envelope["data"] == {"name": "číslo"}, envelope)
    for everybody in (one, two, stranger):
        event, envelope = everybody.next()
        check((event, envelope["seq"]) == ("fence", fence), event, envelope)


def documents(where, transports, page):
    collection = f"python-{transports}".translate({ord(c): "-" for c in "[]', "})
    author, reader = page(), page()
    event = {"type": "insert", "collection": collection, "documentId": "p1", "data": {"id": "p1", "text": "ž"}}
    event.update(id=f"e-{collection}", timestamp=int(time.time() * 1000), clientId=f"author-{collection}")
    early = author.call("client:sync", [event])
    check(early == {"success": False, "error": "Client not registered"}, early)
    for client, name in ((author, "author"), (reader, "reader")):
        client.client.emit("client:info", {"clientId": f"{name}-{collection}", "collections": [collection]})
    for _ in range(2):
        said = author.call("client:sync", [event])
        check(said == {"success": True}, said)
    name, events = reader.next()
    inserts = [event["data"] for event in events if event["type"] == "insert"]
    check(name == "server:sync" and inserts == [{"id": "p1", "text": "ž"}], name, events)
    refused = author.call("client:sync", b"\x00\xff")
    check(refused["success"] is False and "binary" in refused["error"], refused)
    check(author.heard.empty(), "its own change came back")


def tokens(where, transports, page):
    for auth, why in (({"token": "wrong"}, "Authentication failed"), ({"other": 1}, "Authentication token required")):
        stranger = page(**auth)
        check(stranger.refusals == [{"message": why}] and not stranger.connects, auth, stranger.refusals)


def oversized(where, transports, page):
    one = page()
    one.join("files")
    one.client.emit("client:sync", ["x" * (where["message_bytes"] + 1000)])
    end = time.monotonic() + PATIENCE
    while one.connects < 2:
        check(time.monotonic() < end, "it does not come back")
        time.sleep(0.01)
    one.join("files")
    publish(where, event="files:changed", reason="updated")
    check(one.next()[0] == "files:changed")


def be_clients(where):
    failed = False
    for scenario in (rooms, documents, tokens, oversized):
        for way, transports in WAYS:
            opened = []

            def page(**auth):
                opened.append(Page(where, transports, **auth))
                return opened[-1]

            try:
                scenario(where, transports, page)
                print(f"ok {way}: {scenario.__name__}", flush=True)
            except Exception as error:
                failed = True
                print(f"{way}: {scenario.__name__}: {reason_of(error)}", flush=True)
            for one in opened:
                one.client.disconnect()
    return failed


def be_publisher(where):
    manager = socketio.RedisManager(where["redis"], write_only=True)
    for line in sys.stdin:
        wish = json.loads(line)
        data = bytes.fromhex(wish["hex"]) if "hex" in wish else wish["data"]
        manager.emit(wish["event"], data, room=wish["room"])
        print("ok published", flush=True)
    return False


told = json.loads(sys.stdin.readline())
sys.exit(be_clients(told) if told["be"] == "clients" else be_publisher(told))
