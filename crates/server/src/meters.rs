//! What the hub counts, in the Prometheus text format. Each hub has its own registry, so that
//! several hubs in one process do not mix.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::time::Duration;
use syncline_core::hub::Reply;
use syncline_core::model::Verdict;

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const VERDICTS: [Verdict; 5] =
    [Verdict::Applied, Verdict::Merged, Verdict::Superseded, Verdict::Rejected, Verdict::Duplicate];
const META: Metadata<'static> = Metadata::new("syncline", Level::INFO, None);

/// The hub's counters. Those on hot paths are looked up once, here.
pub struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    ops: [Counter; VERDICTS.len()],
    foreign_pushes: Counter,
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
    /// Bytes of request bodies, after decompression.
    pub body_bytes: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("group_pushes".to_owned()), SIZES))
            .expect("the buckets are not empty")
            .build_recorder();
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
            commits: counter("syncline_commits_total"),
            commit_seconds: histogram("syncline_commit_seconds"),
            group_pushes: histogram("syncline_commit_group_pushes"),
            request_seconds: histogram("syncline_request_seconds"),
            pages: counter("syncline_pages_total"),
            snapshots: counter("syncline_snapshots_total"),
            requests_in_work: gauge("syncline_requests_in_work"),
            waiting_polls: gauge("syncline_waiting_polls"),
            body_bytes: counter("syncline_body_bytes_total"),
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
                Reply::Expired { .. } | Reply::NodeTaken { .. } | Reply::BatchReused => {}
            }
        }
    }

    /// A request was answered.
    pub fn answered(&self, took: Duration) {
        self.request_seconds.record(took.as_secs_f64());
    }

    /// A request was refused or failed.
    pub fn refused(&self, code: &'static str) {
        let key = Key::from_parts("syncline_refused_total", vec![Label::from_static_parts("code", code)]);
        self.recorder.register_counter(&key, &META).increment(1);
    }

    /// Sets a gauge of one space.
    #[allow(clippy::cast_precision_loss)] // positions beyond 2^53 are out of reach
    pub fn space(&self, name: &'static str, space: &str, value: u64) {
        let key = Key::from_parts(name, vec![Label::new("space", space.to_owned())]);
        self.recorder.register_gauge(&key, &META).set(value as f64);
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
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
