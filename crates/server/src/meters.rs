//! What the hub counts, in the Prometheus text format. Each hub has its own registry, so that
//! several hubs in one process do not mix.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt::Write;
use std::time::Duration;
use syncline_core::hub::Reply;
use syncline_core::model::Verdict;

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const VERDICTS: [Verdict; 5] =
    [Verdict::Applied, Verdict::Merged, Verdict::Superseded, Verdict::Rejected, Verdict::Duplicate];
const RULES: &str = "syncline_rule_refusals_total";
const REFUSED: &str = "syncline_refused_total";
const REDIS_REFUSED: &str = "syncline_redis_refused_total";
const META: Metadata<'static> = Metadata::new("syncline", Level::INFO, None);

/// The hub's counters. Those on hot paths are looked up once, here.
pub struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    ops: [Counter; VERDICTS.len()],
    foreign_pushes: Counter,
    packets_in: Counter,
    packets_out: Counter,
    live_events: Counter,
    entities_refused: Counter,
    commits: Counter,
    commit_seconds: Histogram,
    group_pushes: Histogram,
    request_seconds: Histogram,
    /// Pages of changes that were answered.
    pub pages: Counter,
    /// Snapshots that were begun.
    pub snapshots: Counter,
    /// Pushes, pages and snapshots in work right now.
    pub requests_in_work: Gauge,
    /// Polls that wait right now.
    pub waiting_polls: Gauge,
    /// Spaces that take no commits.
    pub failed_spaces: Gauge,
    /// Spaces with a damaged document.
    pub damaged_spaces: Gauge,
    /// 1: signed tokens find no keys.
    pub keys_missing: Gauge,
    /// 1: what is stored of no space is damaged.
    pub records_damaged: Gauge,
    /// When it was last found sound, in seconds since 1970.
    pub records_looked_at: Gauge,
    /// Documents that were not told to registered nodes, because their ids are no UUIDs.
    pub unsendable: Counter,
    /// Bytes of request bodies, after decompression.
    pub body_bytes: Counter,
    /// Events that this worker gave their envelopes.
    pub room_events: Counter,
    /// Events that came from other workers and back ends.
    pub room_events_heard: Counter,
    /// Events that were handed to members, each counted for itself.
    pub room_deliveries: Counter,
    /// Connections in rooms right now; one in two rooms counts twice.
    pub room_members: Gauge,
    /// Whether Redis is there.
    pub redis_up: Gauge,
    /// Messages that Redis took.
    pub redis_published: Counter,
    /// Messages that were not published because Redis was away or too slow.
    pub redis_dropped: Counter,
    /// Messages that came from Redis, one's own among them.
    pub redis_received: Counter,
    /// Live connections that are open right now.
    pub live_connections: Gauge,
    /// Messages that came over live connections.
    pub live_received: Counter,
    /// Messages that were handed to live connections.
    pub live_sent: Counter,
    /// Messages that a live connection had no room for.
    pub live_put_off: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("group_pushes".to_owned()), SIZES))
            .expect("the buckets are not empty")
            .build_recorder();
        describe(&recorder);
        let counter = |name: &'static str| recorder.register_counter(&Key::from_static_name(name), &META);
        let histogram = |name: &'static str| recorder.register_histogram(&Key::from_static_name(name), &META);
        let gauge = |name: &'static str| recorder.register_gauge(&Key::from_static_name(name), &META);
        let verdict = |v: &Verdict| {
            let label = Label::from_static_parts("result", verdict_name(*v));
            recorder.register_counter(&Key::from_parts("syncline_ops_total", vec![label]), &META)
        };
        Meters {
            ops: VERDICTS.each_ref().map(verdict),
            foreign_pushes: counter("syncline_foreign_pushes_total"),
            packets_in: counter("syncline_packets_received_total"),
            live_events: counter("syncline_live_events_total"),
            packets_out: counter("syncline_packets_sent_total"),
            entities_refused: counter("syncline_packet_entities_refused_total"),
            commits: counter("syncline_commits_total"),
            commit_seconds: histogram("syncline_commit_seconds"),
            group_pushes: histogram("syncline_commit_group_pushes"),
            request_seconds: histogram("syncline_request_seconds"),
            pages: counter("syncline_pages_total"),
            snapshots: counter("syncline_snapshots_total"),
            requests_in_work: gauge("syncline_requests_in_work"),
            waiting_polls: gauge("syncline_waiting_polls"),
            failed_spaces: gauge("syncline_failed_spaces"),
            damaged_spaces: gauge("syncline_damaged_spaces"),
            keys_missing: gauge("syncline_keys_missing"),
            records_damaged: gauge("syncline_records_damaged"),
            records_looked_at: gauge("syncline_records_looked_at_seconds"),
            unsendable: counter("syncline_exchange_unsendable_total"),
            body_bytes: counter("syncline_body_bytes_total"),
            room_events: counter("syncline_room_events_total"),
            room_events_heard: counter("syncline_room_events_heard_total"),
            room_deliveries: counter("syncline_room_deliveries_total"),
            room_members: gauge("syncline_room_members"),
            redis_up: gauge("syncline_redis_up"),
            redis_published: counter("syncline_redis_published_total"),
            redis_dropped: counter("syncline_redis_dropped_total"),
            redis_received: counter("syncline_redis_received_total"),
            live_connections: gauge("syncline_live_connections"),
            live_received: counter("syncline_live_messages_received_total"),
            live_sent: counter("syncline_live_messages_sent_total"),
            live_put_off: counter("syncline_live_messages_put_off_total"),
            handle: recorder.handle(),
            recorder,
        }
    }
}

impl Meters {
    /// A group of pushes was committed.
    pub fn committed(&self, took: Duration, replies: &[Reply]) {
        self.commits.increment(1);
        self.commit_seconds.record(took.as_secs_f64());
        self.group_pushes.record(u32::try_from(replies.len()).map_or(f64::MAX, f64::from));
        for reply in replies {
            match reply {
                Reply::Own { receipts, .. } => {
                    for (verdict, counter) in VERDICTS.iter().zip(&self.ops) {
                        counter.increment(receipts.iter().filter(|r| r.result == *verdict).count() as u64);
                    }
                }
                Reply::Foreign { .. } => self.foreign_pushes.increment(1),
                Reply::Packet(taken) => {
                    self.packets_in.increment(1);
                    self.entities_refused.increment(taken.refused.len() as u64);
                }
                Reply::Live(taken) => self.live_events.increment(taken.fates.len() as u64),
                Reply::Dispatched { .. } => self.packets_out.increment(1),
                Reply::Expired { .. }
                | Reply::Mended(_)
                | Reply::NodeTaken { .. }
                | Reply::BatchReused
                | Reply::Moved
                | Reply::UnknownNode => {}
            }
        }
    }

    /// A request was answered.
    pub fn answered(&self, took: Duration) {
        self.request_seconds.record(took.as_secs_f64());
    }

    /// Ops were refused because of rules of their collections.
    pub fn rules_refused(&self, code: String, ops: u64) {
        let key = Key::from_parts(RULES, vec![Label::new("code", code)]);
        self.recorder.register_counter(&key, &META).increment(ops);
    }

    /// A request was refused or failed.
    pub fn refused(&self, code: &'static str) {
        let key = Key::from_parts(REFUSED, vec![Label::from_static_parts("code", code)]);
        self.recorder.register_counter(&key, &META).increment(1);
    }

    /// A message from Redis was not taken.
    pub fn redis_refused(&self, code: &'static str) {
        let key = Key::from_parts(REDIS_REFUSED, vec![Label::from_static_parts("code", code)]);
        self.recorder.register_counter(&key, &META).increment(1);
    }

    /// The text that Prometheus reads. `spaces` are not kept: whoever asks next may not see them.
    #[must_use]
    pub fn render(&self, spaces: &[SpaceGauges]) -> String {
        self.handle.run_upkeep();
        let mut text = self.handle.render();
        let mut gauge = |name: &str, about: &str, value: fn(&SpaceGauges) -> u64| {
            if spaces.is_empty() {
                return;
            }
            let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} gauge");
            for space in spaces {
                let _ = writeln!(text, "{name}{{space=\"{}\"}} {}", space.name, value(space));
            }
        };
        gauge("syncline_space_head_lsn", "The last LSN of the space's log.", |space| space.head_lsn);
        gauge("syncline_space_horizon_lsn", "Changes after this LSN can be read.", |space| space.horizon_lsn);
        gauge("syncline_space_queued_pushes", "Pushes that wait for their commit.", |space| space.queued_pushes);
        gauge("syncline_space_conflicts", "Rows of the conflict ledger.", |space| space.conflicts);
        gauge("syncline_space_quarantined", "Ops in quarantine.", |space| space.quarantined);
        gauge(
            "syncline_space_furthest_behind",
            "LSNs that the reader furthest behind has yet to read, of those that are there.",
            |space| space.furthest_behind,
        );
        gauge("syncline_space_stalled_readers", "Readers that are there and do not get on.", |space| space.stalled);
        gauge("syncline_space_failed", "1: the space takes no commits.", |space| u64::from(space.failed));
        gauge("syncline_space_damaged", "1: a document of the space is damaged.", |space| u64::from(space.damaged));
        gauge(
            "syncline_space_looked_at_seconds",
            "When all that is stored of the space was last looked at and found sound, in seconds since 1970; 0: not yet.",
            |space| space.looked_at_s,
        );
        text
    }
}

/// What is measured of one space. Its name needs no escapes; see the rule of `SpaceName`.
pub struct SpaceGauges {
    /// Its name.
    pub name: String,
    /// The last LSN.
    pub head_lsn: u64,
    /// Changes after this can be read.
    pub horizon_lsn: u64,
    /// Pushes that wait for their commit.
    pub queued_pushes: u64,
    /// Rows of the conflict ledger.
    pub conflicts: u64,
    /// Ops in quarantine.
    pub quarantined: u64,
    /// Whether it takes no commits.
    pub failed: bool,
    /// Readers that are there and do not get on.
    pub stalled: u64,
    /// LSNs that the one furthest behind has yet to read.
    pub furthest_behind: u64,
    /// When all that is stored of it was last found sound, in seconds; 0: not yet.
    pub looked_at_s: u64,
    /// Whether a document of it is damaged.
    pub damaged: bool,
}

/// The sentence that stands at each metric.
fn describe(recorder: &PrometheusRecorder) {
    let counters = [
        ("syncline_ops_total", "Ops of own clients by what became of them."),
        ("syncline_foreign_pushes_total", "Pushes of foreign clients that were committed."),
        ("syncline_packets_received_total", "Packets of exchange nodes that were committed."),
        ("syncline_packets_sent_total", "Packets that were made for exchange nodes."),
        ("syncline_packet_entities_refused_total", "Entities of packets that were set aside with their reason."),
        ("syncline_commits_total", "Commits, each of a group of pushes."),
        ("syncline_pages_total", "Pages of changes that were answered."),
        ("syncline_snapshots_total", "Snapshots that were begun."),
        ("syncline_exchange_unsendable_total", "Times that a document was left out of a packet: its id is no UUID."),
        ("syncline_body_bytes_total", "Bytes of request bodies, after decompression."),
        ("syncline_live_events_total", "Events of live clients that were committed."),
        ("syncline_live_messages_received_total", "Messages that came over live connections."),
        ("syncline_live_messages_sent_total", "Messages that were handed to live connections."),
        ("syncline_live_messages_put_off_total", "Messages that a live connection had no room for."),
        ("syncline_room_events_total", "Events for rooms that this worker gave their envelopes."),
        ("syncline_room_events_heard_total", "Events for rooms from other workers and back ends."),
        ("syncline_room_deliveries_total", "Events that were handed to members of rooms."),
        ("syncline_redis_published_total", "Messages that Redis took."),
        ("syncline_redis_dropped_total", "Messages that were not published: Redis was away or too slow."),
        ("syncline_redis_received_total", "Messages that came from Redis."),
        (RULES, "Ops of any dialect that were refused because of a rule of their collection, by its code."),
        (REDIS_REFUSED, "Messages from Redis that were not taken, by the code of the refusal."),
        (REFUSED, "Requests that were refused or failed, by the code of the refusal."),
    ];
    let gauges = [
        ("syncline_requests_in_work", "Pushes, pages and snapshots in work."),
        ("syncline_waiting_polls", "Pulls that wait for a change."),
        (
            "syncline_failed_spaces",
            "Spaces that take no commits: after a failed write, or with a file that is damaged or gone.",
        ),
        ("syncline_damaged_spaces", "Spaces with a damaged document; they take commits."),
        ("syncline_keys_missing", "1: the keys of signed tokens cannot be read, and such tokens are answered 503."),
        ("syncline_records_damaged", "1: the hub's own file (the list of spaces, tokens, rules) is damaged or gone."),
        (
            "syncline_records_looked_at_seconds",
            "When the hub's own file was last looked at and found sound, in seconds since 1970; 0: not yet.",
        ),
        ("syncline_room_members", "Connections in rooms; one in two rooms counts twice."),
        ("syncline_redis_up", "1: Redis is there."),
        ("syncline_live_connections", "Live connections that are open."),
    ];
    let histograms = [
        ("syncline_commit_seconds", "From the decision about a group of pushes to its durable commit."),
        ("syncline_commit_group_pushes", "Pushes that shared one commit."),
        ("syncline_request_seconds", "From a request's headers to the head of its reply."),
    ];
    counters.into_iter().for_each(|(name, about)| recorder.describe_counter(name.into(), None, about.into()));
    gauges.into_iter().for_each(|(name, about)| recorder.describe_gauge(name.into(), None, about.into()));
    histograms.into_iter().for_each(|(name, about)| recorder.describe_histogram(name.into(), None, about.into()));
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Applied => "applied",
        Verdict::Merged => "merged",
        Verdict::Superseded => "superseded",
        Verdict::Rejected => "rejected",
        Verdict::Duplicate => "duplicate",
    }
}
