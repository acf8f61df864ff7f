//! One request of the session carried to the hub and its answers brought back. Runs as a task of
//! the engine; the channel for reports holds one, so a long snapshot is read no faster than it is stored.

use super::api::{ApiClient, ApiError, ApiReply, ApiStream};
use super::packet::OutPacket;
use super::reply::{self, SnapshotReader};
use super::request;
use futures_util::FutureExt;
use futures_util::stream::StreamExt;
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use syncline_core::model::{NodeId, Page, PushReply};
use syncline_core::session::{Answer, Event, Failure, Request, RequestId};
use tokio::sync::mpsc::Sender;

/// Bytes of a refusal that are read.
const REFUSAL_BYTES: usize = 64 << 10;

/// A request on its way.
pub(super) struct Exchange {
    pub(super) api: Arc<dyn ApiClient>,
    pub(super) node: NodeId,
    pub(super) id: RequestId,
    /// How far the hub's conflict ledger has been told; `None`: it is not asked for.
    pub(super) told: Option<u64>,
    pub(super) reports: Sender<Event>,
}

impl Exchange {
    /// Sends the request and reports every answer, or why there is none.
    pub(super) async fn run(self, request: Request, packet: Option<OutPacket>) {
        let outcome = AssertUnwindSafe(self.perform(request, packet)).catch_unwind().await;
        let failure = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Network("the api client panicked".to_owned()),
        };
        self.report(Event::Failed(self.id, failure)).await;
    }

    async fn perform(&self, request: Request, packet: Option<OutPacket>) -> Result<(), Failure> {
        if let Some(packet) = packet {
            let reply = self.api.post(request::EXCHANGE, packet.text().to_owned()).await;
            let answer = packet.answer(&request, reply)?;
            self.report(Event::Answered(self.id, answer)).await;
            return Ok(());
        }
        let answer = match request {
            Request::Snapshot { scope, after } => {
                return self.snapshot(&request::snapshot(&self.node, &scope, after)).await;
            }
            Request::Pull { scope, since, limit, wait_s } => {
                let path = request::pull(&self.node, &scope, &since, limit, wait_s);
                let path = match self.told {
                    Some(told) => request::with_conflicts(path, told),
                    None => path,
                };
                Answer::Page(reply::content::<Page>(self.api.get(&path).await)?)
            }
            Request::Push(batch) => {
                Answer::Pushed(reply::content::<PushReply>(self.api.post(request::PUSH, batch.body).await)?)
            }
            Request::Health => {
                reply::content::<Box<RawValue>>(self.api.get(request::HEALTH).await)?;
                Answer::Healthy
            }
        };
        self.report(Event::Answered(self.id, answer)).await;
        Ok(())
    }

    async fn snapshot(&self, path: &str) -> Result<(), Failure> {
        let network = |error: ApiError| Failure::Network(error.to_string());
        let ApiStream { status, retry_after, mut pieces } = self.api.stream(path).await.map_err(network)?;
        if !(200..300).contains(&status) {
            let mut body = Vec::new();
            while let Some(Ok(piece)) = pieces.next().await {
                body.extend_from_slice(&piece);
                if body.len() > REFUSAL_BYTES {
                    break;
                }
            }
            return Err(reply::refusal(ApiReply { status, retry_after, body: body.into() }));
        }
        let mut reader = SnapshotReader::default();
        let mut broken = None;
        while let (Some(piece), None) = (pieces.next().await, &broken) {
            match piece.map_err(network).and_then(|piece| reader.feed(&piece)) {
                Ok(answers) => self.answers(answers).await,
                Err(failure) => broken = Some(failure),
            }
        }
        let rest = reader.finish();
        self.answers(rest).await;
        match broken {
            _ if reader.is_done() => Ok(()),
            Some(failure) => Err(failure),
            None => Err(reply::cut()),
        }
    }

    async fn answers(&self, answers: Vec<Answer>) {
        for answer in answers {
            self.report(Event::Answered(self.id, answer)).await;
        }
    }

    async fn report(&self, event: Event) {
        // Without a receiver the engine is gone, and nobody waits.
        let _ = self.reports.send(event).await;
    }
}
