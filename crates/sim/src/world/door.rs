//! The door of a world's hub for packets: the real router over the world's store, without sockets. What it
//! keeps in memory is lost when it restarts.

use super::recorder::Recorder;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use syncline_core::model::{Limits, Millis, NodeId, Plan, Registration, SpaceName};
use syncline_server::app::App;
use syncline_server::clock::Clock;
use syncline_server::nodes::NodeChange;
use syncline_server::{Options, Retention, Settings, open, router};
use tokio::runtime::Runtime;
use tower::ServiceExt;

thread_local! {
    /// A world lives on one thread; its hub reads the time here.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// Superseded changes are forgotten soon, so that cursors meet the horizon.
const KEPT: Duration = Duration::from_secs(10);

/// A status and a body.
pub type Answered = (u16, String);

/// One door to one space.
pub struct Door {
    runtime: Runtime,
    app: Arc<App>,
    router: Router,
    store: Arc<Recorder>,
    options: Options,
}

impl Door {
    pub fn new((store, space, limits): (Arc<Recorder>, SpaceName, Limits)) -> Door {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let retention = Retention { log: KEPT, ..Retention::default() };
        let clock = Clock::of(|| Millis(NOW.get()));
        let settings = Settings { limits, retention, clock, ..Settings::default() };
        let options = Options { default_space: space, settings, ..Options::default() };
        let (app, router) = opened(&runtime, &store, &options);
        Door { runtime, app, router, store, options }
    }

    pub fn set_clock(&self, now: u64) {
        NOW.set(now);
    }

    /// Loses its memory.
    pub fn restart(&mut self) {
        (self.app, self.router) = opened(&self.runtime, &self.store, &self.options);
    }

    /// Makes a node known, with a secret for its token.
    pub fn register(&self, id: &NodeId, code: &str, plan: Plan, secret: String) {
        let registration = Registration { id: id.clone(), code: code.to_owned(), name: code.to_owned(), plan };
        let (app, space) = (&self.app, &self.options.default_space);
        let registered = app.nodes.register(&app.tokens, space, registration, Some(secret));
        self.runtime.block_on(registered).expect("the registration is valid");
    }

    /// Gives a node another plan.
    pub fn change(&self, id: &NodeId, plan: Plan) {
        let (app, change) = (&self.app, NodeChange { plan: Some(plan), ..NodeChange::default() });
        let changed = app.nodes.change(&app.tokens, &self.options.default_space, id, change);
        self.runtime.block_on(changed).expect("the plan is valid");
    }

    /// Forgets what the retention no longer asks for.
    pub fn trim(&self) {
        let trimmed = async { self.app.hub.space(&self.options.default_space).await?.trim().await };
        self.runtime.block_on(trimmed).expect("a memory store trims");
    }

    /// Posts a packet.
    pub fn post(&self, token: &str, body: &str) -> Answered {
        self.runtime.block_on(self.answer(token, body))
    }

    /// Posts two copies at once.
    pub fn post_twice(&self, token: &str, body: &str) -> (Answered, Answered) {
        self.runtime.block_on(async { tokio::join!(self.answer(token, body), self.answer(token, body)) })
    }

    /// Posts a packet and goes away while it is worked on; the hub has then done all, some or nothing of it.
    pub fn post_and_leave(&self, token: &str, body: &str, patience: u32) {
        self.runtime.block_on(async {
            let (mut answer, mut left) = (pin!(self.answer(token, body)), patience);
            poll_fn(|context| match (answer.as_mut().poll(context), left.checked_sub(1)) {
                (Poll::Pending, Some(less)) => {
                    left = less;
                    Poll::Pending
                }
                (Poll::Ready(_), _) | (_, None) => Poll::Ready(()),
            })
            .await;
        });
    }

    async fn answer(&self, token: &str, body: &str) -> Answered {
        let request = Request::post("/api/sync/exchange").header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::from(body.to_owned())).expect("a valid request");
        let response = self.router.clone().oneshot(request).await.expect("a router always answers");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("an answer in memory is whole");
        (status, String::from_utf8(bytes.to_vec()).expect("answers are UTF-8"))
    }
}

fn opened(runtime: &Runtime, store: &Arc<Recorder>, options: &Options) -> (Arc<App>, Router) {
    let store: Arc<Recorder> = Arc::clone(store);
    let app = runtime.block_on(open(store, options.clone())).expect("the hub opens");
    (Arc::clone(&app), router(app))
}
