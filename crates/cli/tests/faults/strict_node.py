"""A desktop of the exchange plan that knows the hub only by its protocol document.

Keeps business rows and its own register of changes, sends numbered packets, believes nothing that it
is not told, and checks every reply for form. Reads one line of JSON from standard input (`hub`,
`hub_id`, `nodes` with `id` and `token`), runs every scenario, and asks for a killed and restarted hub
by printing `restart`; the answer is a line with the new address. Ends with 0 when all of it held.
"""

import gzip
import http.client
import json
import random
import sys
import threading
import uuid

TYPES = ("DailyReport", "Estimate", "WorkSpecification")
CLOCK = threading.Lock()
HUB = {}
_ticks = [0]


def now():
    """Times of this world: a millisecond later at each call."""
    with CLOCK:
        _ticks[0] += 1
        tick = _ticks[0]
    return "2026-01-05T%02d:%02d:%02d.%03dZ" % (8 + tick // 3600000, tick // 60000 % 60, tick // 1000 % 60, tick % 1000)


def check(condition, *told):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in told))


class Desktop:
    def __init__(self, node):
        self.id, self.token = node["id"], node["token"]
        self.rows, self.changes = {}, {}
        self.sent, self.received = 0, 0

    def save(self, kind, key, **fields):
        row = self.rows.setdefault((kind, key), {})
        new = not row
        row.update(fields, updated_at=now())
        before = self.changes.get((kind, key))
        self.changes[kind, key] = "INSERT" if before == "INSERT" or new else "UPDATE"

    def delete(self, kind, key):
        self.rows.pop((kind, key), None)
        self.changes[kind, key] = "DELETE"

    def packet(self, number=None, ack=None, entities=None):
        return {
            "header": {
                "sender_node_id": self.id,
                "recipient_node_id": HUB["id"],
                "packet_no": self.sent + 1 if number is None else number,
                "ack_packet_no": self.received if ack is None else ack,
                "schema_version": "1.2.0",
            },
            "body": {"entities": self.registered() if entities is None else entities},
        }

    def registered(self):
        return [entity(kind, key, op, None if op == "DELETE" else dict(self.rows[kind, key]))
                for (kind, key), op in self.changes.items()]

    def exchange(self, lose=None):
        """One round trip. `lose`: the request never arrives, or the reply never comes back."""
        packet = self.packet()
        if lose == "request":
            return None
        reply = self.post(packet)
        if lose == "reply":
            return None
        self.finish(packet, reply)
        return reply

    def post(self, packet):
        status, reply = send(packet, self.token)
        check(status == 200, "exchange answered", status, reply)
        self.validate(packet, reply)
        return reply

    def validate(self, packet, reply):
        """Every reply has the envelope of the protocol document, and nothing unheard of."""
        header, asked = reply["header"], packet["header"]
        wanted = {"sender_node_id", "recipient_node_id", "packet_no", "ack_packet_no", "schema_version"}
        check(wanted <= set(header) <= wanted | {"has_more", "rejected"}, "header", header)
        check(header["sender_node_id"] == asked["recipient_node_id"], "sender", header)
        check(header["recipient_node_id"] == asked["sender_node_id"], "recipient", header)
        check(type(header["packet_no"]) is int and header["packet_no"] >= 0, "packet_no", header)
        check(type(header["ack_packet_no"]) is int and header["ack_packet_no"] >= asked["packet_no"], "ack", header)
        check(header["schema_version"] == "1.2.0", "schema_version", header)
        check(set(reply) == {"header", "body"} and set(reply["body"]) == {"entities"}, "envelope", reply)
        check(not reply["body"]["entities"] or header["packet_no"] >= 1, "a packet has a number", header)
        for element in reply["body"]["entities"]:
            check(set(element) == {"type", "uuid", "operation", "data"}, "entity", element)
            check(str(uuid.UUID(element["uuid"])) == element["uuid"], "uuid", element)
            check(element["operation"] in ("INSERT", "UPDATE", "DELETE"), "operation", element)
            check((element["data"] is None) == (element["operation"] == "DELETE"), "data", element)

    def finish(self, packet, reply):
        """The last step: what is acknowledged leaves the register, what came in is applied by name."""
        header = reply["header"]
        if header["ack_packet_no"] >= packet["header"]["packet_no"]:
            self.sent = header["ack_packet_no"]
            for element in packet["body"]["entities"]:
                self.changes.pop((element["type"], element["uuid"]), None)
        for element in reply["body"]["entities"]:
            key = element["type"], element["uuid"]
            if key in self.changes:
                continue
            if element["operation"] == "DELETE":
                self.rows.pop(key, None)
            else:
                self.rows.setdefault(key, {}).update(element["data"])
        self.received = max(self.received, header["packet_no"])

    def settle(self):
        """Exchanges until there is nothing more in either direction. Returns the objects that came."""
        came = []
        for _ in range(1000):
            reply = self.exchange()
            came += reply["body"]["entities"]
            if not reply["body"]["entities"] and not self.changes:
                return came
        raise AssertionError("a node is never done")


def entity(kind, key, operation, data):
    return {"type": kind, "uuid": key, "operation": operation, "data": data}


def send(packet, token, raw=None, headers=()):
    body = json.dumps(packet).encode() if raw is None else raw
    connection = http.client.HTTPConnection(HUB["address"], timeout=60)
    sent = {"Content-Type": "application/json", **dict(headers)}
    if token is not None:
        sent["Authorization"] = "Bearer " + token
    try:
        connection.request("POST", "/api/sync/exchange", body, sent)
        answer = connection.getresponse()
        content = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return answer.status, json.loads(content)
    finally:
        connection.close()


def fresh():
    return str(uuid.uuid4())


def settle_all(nodes):
    for _ in range(4):
        for node in nodes:
            node.settle()


def known(row):
    """A column without a value is null, whether it was ever named or not."""
    return row and {name: value for name, value in row.items() if value is not None}


def equal(nodes):
    for node in nodes[1:]:
        for key in set(nodes[0].rows) | set(node.rows):
            ours, theirs = known(nodes[0].rows.get(key)), known(node.rows.get(key))
            check(ours == theirs, "nodes differ at", key, ours, theirs)


def x2_an_insert_arrives_and_does_not_return(a, b, c):
    key = fresh()
    lines = [{"n": 1, "qty": 2.5, "work": fresh()}, {"n": 2, "qty": 1e3, "name": "Кладка \u2028"}]
    a.save("DailyReport", key, date="2025-12-12", lines=lines, big=2**53 - 1)
    sent = a.sent + 1
    reply = a.exchange()
    check(reply["header"]["ack_packet_no"] == sent, "acknowledged", reply["header"])
    check(all(e["uuid"] != key for e in reply["body"]["entities"]), "it came back", reply)
    check(any(e["uuid"] == key and e["operation"] == "INSERT" for e in b.settle()), "it did not arrive")
    check(b.rows["DailyReport", key] == a.rows["DailyReport", key], "it arrived changed")
    check(all(e["uuid"] != key for e in a.settle()), "it came back later")


def x3_updates_and_deletes_travel(a, b, c):
    key = fresh()
    a.save("Estimate", key, total=1)
    settle_all([a, b])
    b.save("Estimate", key, total=2)
    settle_all([b, a])
    check(a.rows["Estimate", key]["total"] == 2, "update", a.rows["Estimate", key])
    a.delete("Estimate", key)
    settle_all([a, b])
    check(("Estimate", key) not in b.rows, "delete")
    before = b.received
    check(b.exchange()["header"]["packet_no"] == before, "an empty packet took a number")


def x4_only_an_acknowledgement_takes_changes_from_the_queue(a, b, c):
    settle_all([a, b])
    key = fresh()
    a.save("Estimate", key, total=1)
    a.exchange()
    old = b.received
    first = b.post(b.packet())
    check([e["uuid"] for e in first["body"]["entities"]] == [key], "first", first)
    b.sent += 1
    bogus = b.post(b.packet(ack=987654321))
    check([e["uuid"] for e in bogus["body"]["entities"]] == [key], "a bogus ack took it", bogus)
    check(bogus["header"]["packet_no"] > first["header"]["packet_no"] > old, "numbers", first, bogus)
    b.sent += 1
    b.exchange()
    check(not b.exchange()["body"]["entities"], "it came again after its ack")
    check(b.rows["Estimate", key]["total"] == 1, "not applied")


def x5_lost_repeated_and_parallel_packets_count_once(a, b, c):
    key = fresh()
    a.save("DailyReport", key, v=1)
    settle_all([a, b])
    a.save("DailyReport", key, v=2)
    a.exchange(lose="request")
    packet = a.packet()
    a.exchange(lose="reply")
    b.settle()
    b.save("DailyReport", key, v=3)
    b.settle()
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(a.post(packet))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(len(replies) == 3, "parallel copies failed")
    a.settle()
    settle_all([a, b])
    check(a.rows["DailyReport", key]["v"] == b.rows["DailyReport", key]["v"] == 3, "a repeat undid a later edit")
    b.delete("DailyReport", key)
    settle_all([b, a])
    a.post(packet)
    settle_all([a, b])
    check(("DailyReport", key) not in b.rows, "a repeat revived a deleted object")


def x6_gaps_are_accepted_and_late_packets_change_nothing(a, b, c):
    key, early, late = fresh(), now(), now()
    following = a.post(a.packet(a.sent + 2, entities=[entity("Estimate", key, "INSERT", {"v": "two", "updated_at": late})]))
    a.post(a.packet(a.sent + 1, entities=[entity("Estimate", key, "INSERT", {"v": "one", "updated_at": early})]))
    a.sent = following["header"]["ack_packet_no"]
    a.rows["Estimate", key] = {"v": "two", "updated_at": late}
    settle_all([a, b])
    check(b.rows["Estimate", key]["v"] == "two", "the late packet won", b.rows["Estimate", key])


def x7_the_same_number_with_more_changes_loses_nothing(a, b, c):
    one, two = fresh(), fresh()
    a.save("Estimate", one, v=1)
    a.exchange(lose="reply")
    a.save("Estimate", two, v=2)
    settle_all([a, b])
    check(b.rows["Estimate", one]["v"] == 1 and b.rows["Estimate", two]["v"] == 2, "lost")


def x7_a_deletion_sent_again_does_not_undo_a_revival(a, b, c):
    key = fresh()
    a.save("Estimate", key, v=1)
    settle_all([a, b])
    a.delete("Estimate", key)
    a.exchange(lose="reply")
    b.settle()
    b.rows["Estimate", key] = {"v": 2, "updated_at": "2099-01-01T00:00:00Z"}
    b.changes["Estimate", key] = "INSERT"
    b.settle()
    a.save("Estimate", fresh(), v=3)
    settle_all([a, b])
    check(a.rows.get(("Estimate", key), {}).get("v") == 2, "the deletion was applied twice", a.rows.get(("Estimate", key)))


def x8_the_later_time_wins_in_either_order(a, b, c):
    for first, second in ((a, b), (b, a)):
        key = fresh()
        a.save("DailyReport", key, v=0, note="kept")
        settle_all([a, b, c])
        a.save("DailyReport", key, v="earlier")
        b.save("DailyReport", key, v="later")
        first.exchange()
        second.exchange()
        settle_all([a, b, c])
        for node in (a, b, c):
            check(node.rows["DailyReport", key]["v"] == "later", "order", node.rows["DailyReport", key])
            check(node.rows["DailyReport", key]["note"] == "kept", "a field was lost")


def x9_strangers_are_refused_without_effect(a, b, c):
    key = fresh()
    bad = [entity("Estimate", key, "INSERT", {"v": 1})]
    refusals = [
        (401, None, {}), (401, "no-such-token", {}), (403, b.token, {}),
        (404, a.token, {"sender_node_id": fresh()}), (422, a.token, {"recipient_node_id": fresh()}),
    ]
    for wanted, token, changed in refusals:
        packet = a.packet(entities=bad)
        packet["header"].update(changed)
        status, body = send(packet, token)
        check(status == wanted or (wanted == 404 and status in (401, 403)), wanted, status, body)
        check(isinstance(body.get("error"), str) and body["error"], "no reason", body)
    before = a.sent
    check(a.exchange()["header"]["ack_packet_no"] == before + 1, "a refused packet was counted")
    check(all(e["uuid"] != key for e in b.settle()), "a refused packet had an effect")
    packet = a.packet()
    status, _ = send(packet, None, headers=[("X-Sync-Token", a.token)])
    check(status == 200, "X-Sync-Token", status)
    a.sent += 1


def x10_broken_packets_are_refused_whole(a, b, c):
    good, key = entity("Estimate", fresh(), "INSERT", {"v": 1}), fresh()
    header = lambda **changed: {**a.packet(), "header": {**a.packet()["header"], **changed}}
    without = lambda name: {k: v for k, v in good.items() if k != name}
    body = lambda *elements: a.packet(entities=[good, *elements])
    packets = [
        header(packet_no=0), header(packet_no=-1), header(packet_no=2**63), header(packet_no=10**30), header(packet_no="x"),
        header(packet_no=1.5), header(packet_no=None), header(packet_no=True), header(ack_packet_no=-1), header(ack_packet_no="1"),
        header(schema_version="x"), header(schema_version=1), header(sender_node_id=7),
        {"header": a.packet()["header"]}, {"body": {"entities": []}}, {**a.packet(), "body": []},
        {**a.packet(), "body": {"entities": {}}}, {**a.packet(), "body": {"entities": None}}, [], "x", 7, None,
        body(7), body(None), body(without("type")), body(without("uuid")), body(without("operation")), body(without("data")),
        body({**good, "uuid": "not-a-uuid"}), body({**good, "uuid": 7}), body({**good, "uuid": ""}),
        body({**good, "operation": "UPSERT"}), body({**good, "operation": None}), body({**good, "data": None}),
        body({**good, "data": []}), body({**good, "data": "x"}), body({**good, "type": 7}), body({**good, "type": ""}),
    ]
    for packet in packets:
        status, answer = send(packet, a.token)
        check(400 <= status < 500, "answered", status, json.dumps(packet)[:300], answer)
        check(isinstance(answer.get("error"), str) and answer["error"], "no reason", answer)
    for raw in (b"", b'{"header":', b"\xff\xfe{}", b"[" * 5000, b'{"header":{},"body":{}} x'):
        status, answer = send(None, a.token, raw=raw)
        check(status in (400, 422) and answer.get("error"), "answered", status, raw[:20], answer)
    before = a.sent
    check(a.exchange()["header"]["ack_packet_no"] == before + 1, "a broken packet was counted")
    check(all(e["uuid"] != good["uuid"] for e in b.settle()), "a broken packet was applied in part")
    a.settle()
    a.save("Estimate", key, v=1)
    settle_all([a, b])
    check(("Estimate", key) in b.rows, "the node cannot go on")


def x11_other_versions_and_unknown_types_block_nobody(a, b, c):
    key = fresh()
    packet = a.packet(entities=[entity("Estimate", key, "INSERT", {"v": 1})])
    packet["header"]["schema_version"] = "99.0.0"
    status, answer = send(packet, a.token)
    check(status == 409 and "99.0.0" in answer["error"], status, answer)
    b.settle()
    check(("Estimate", key) not in b.rows, "applied in spite of its version")
    strange = fresh()
    a.save("Estimate", key, v=1, field_of_tomorrow={"a": [1, None]})
    packet = a.packet()
    packet["body"]["entities"].insert(0, entity("NoSuchEntity", strange, "INSERT", {"v": 1}))
    reply = a.post(packet)
    named = [(r["type"], r["uuid"]) for r in reply["header"].get("rejected", [])]
    check(named == [("NoSuchEntity", strange)], "rejected", reply["header"])
    check(a.post(packet)["header"].get("rejected") == reply["header"]["rejected"], "a repeat got another receipt")
    a.finish(packet, reply)
    settle_all([a, b])
    check(b.rows["Estimate", key] == a.rows["Estimate", key], "an unknown field was lost")


def x12_long_backlogs_come_in_bounded_packets(a, b, c):
    settle_all([a, b, c])
    for start in range(0, 10000, 500):
        for n in range(start, start + 500):
            a.save("WorkSpecification", fresh(), n=n, name="row %d" % n)
        a.exchange()
    sizes = []
    while True:
        reply = b.exchange()
        sizes.append(len(reply["body"]["entities"]))
        check(bool(reply["header"].get("has_more")) == (sum(sizes) < 10000), "has_more", sizes, reply["header"])
        if not sizes[-1]:
            break
    check(sum(sizes) == 10000 and max(sizes) <= 1000, "sizes", sizes)
    settle_all([a, b, c])
    equal([a, b, c])


def x13_counters_survive_a_killed_hub(a, b, c):
    key = fresh()
    a.save("Estimate", key, v=1)
    packet = a.packet()
    a.exchange(lose="reply")
    numbered = b.exchange(lose=None)["header"]["packet_no"]
    unconfirmed = fresh()
    a.save("Estimate", unconfirmed, v=2)
    a.exchange()
    given = b.post(b.packet())["header"]["packet_no"]
    print("restart", flush=True)
    HUB["address"] = sys.stdin.readline().strip()
    b.sent += 1
    again = b.exchange()
    check(again["header"]["packet_no"] > given > numbered, "numbers fell back", numbered, given, again["header"])
    check(any(e["uuid"] == unconfirmed for e in again["body"]["entities"]), "the queue was lost")
    b.save("Estimate", key, v=5)
    b.settle()
    a.post(packet)
    settle_all([a, b])
    check(b.rows["Estimate", key]["v"] == 5, "a repeat was not recognised after the restart")


def x14_many_edits_of_one_object_come_as_one(a, b, c):
    settle_all([a, b])
    key = fresh()
    for n in range(50):
        a.save("Estimate", key, v=n)
        a.exchange()
    came = [e for e in b.settle() if e["uuid"] == key]
    check(len(came) == 1 and came[0]["data"]["v"] == 49, "deliveries", len(came))


def x15_nodes_in_parallel_end_equal(a, b, c):
    def work(node):
        for n in range(30):
            node.save(TYPES[n % 3], fresh(), n=n)
            node.exchange()

    threads = [threading.Thread(target=work, args=(node,)) for node in (a, b, c)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle_all([a, b, c])
    equal([a, b, c])


def chaos_ends_equal(a, b, c):
    """Requests and replies are lost, old packets come again, everybody edits the same few objects."""
    for seed in range(12):
        world, keys, old = random.Random(seed), [(kind, fresh()) for kind in TYPES for _ in range(2)], []
        for step in range(60):
            node, (kind, key) = world.choice((a, b, c)), world.choice(keys)
            if world.random() < 0.2 and (kind, key) in node.rows:
                node.delete(kind, key)
            else:
                node.save(kind, key, **{world.choice("xyz"): "%d.%d" % (seed, step)})
            if world.random() < 0.5:
                packet = node.packet()
                old.append((node, packet))
                node.exchange(lose=world.choice((None, None, "request", "reply")))
            if old and world.random() < 0.2:
                node, packet = world.choice(old)
                node.post_again(packet)
        settle_all([a, b, c])
        try:
            equal([a, b, c])
        except AssertionError as error:
            raise AssertionError("seed %d: %s" % (seed, error)) from None


def post_again(self, packet):
    """A copy that was held up somewhere; nobody waits for its reply."""
    status, reply = send(packet, self.token)
    check(status == 200, "a late copy was answered", status, reply)


Desktop.post_again = post_again

SCENARIOS = [value for name, value in list(globals().items()) if name[0] == "x" and name[1].isdigit()] + [chaos_ends_equal]


def main():
    told = json.loads(sys.stdin.readline())
    HUB.update(address=told["hub"], id=told["hub_id"])
    nodes = [Desktop(node) for node in told["nodes"]]
    failed = 0
    for scenario in SCENARIOS:
        try:
            settle_all(nodes)
            scenario(*nodes)
            print("ok", scenario.__name__, flush=True)
        except Exception as error:  # every scenario is tried
            failed += 1
            print("FAILED", scenario.__name__, type(error).__name__, error, flush=True)
    sys.exit(1 if failed else 0)


main()
