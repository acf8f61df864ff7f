//! The door of a world's hub for packets: the real router over the world's store, without sockets. What it
//! keeps in memory is lost when it restarts. Its timers run by the world's clock, never by the machine's.

use super::BEGINNING;
use super::recorder::Recorder;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use syncline_core::model::{Limits, Millis, NodeId, Plan, Registration, SpaceName};
use syncline_server::app::App;
use syncline_server::auth::{TokenChange, TokenSpec};
use syncline_server::clock::Clock;
use syncline_server::nodes::NodeChange;
use syncline_server::{DeclaredRule, Options, Retention, Settings, open, router};
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use tower::ServiceExt;

thread_local! {
    /// A world lives on one thread; its hub reads the time here.
    static NOW: Cell<u64> = const { Cell::new(BEGINNING) };
}

/// Superseded changes are forgotten soon, so that cursors meet the horizon.
const KEPT: Duration = Duration::from_secs(10);

/// The world says when the hub forgets, not the hub's upkeep.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How often all that is ready in the hub gets its turn before somebody looks.
const YIELDS: usize = 64;

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
    pub fn new(parts: (Arc<Recorder>, SpaceName, Limits)) -> Door {
        Door::with_rules(parts, |_| Vec::new())
    }

    /// The same for a space whose collections have rules.
    pub fn with_rules(
        (store, space, limits): (Arc<Recorder>, SpaceName, Limits),
        rules: impl Fn(&SpaceName) -> Vec<DeclaredRule>,
    ) -> Door {
        NOW.set(BEGINNING);
        let runtime = runtime();
        let retention = Retention { log: KEPT, trim_every: NEVER, ..Retention::default() };
        let clock = Clock::of(|| Millis(NOW.get()));
        let settings = Settings { limits, retention, clock, ..Settings::default() };
        let collections = rules(&space);
        let options = Options { default_space: space, settings, collections, ..Options::default() };
        let (app, router) = opened(&runtime, &store, &options);
        Door { runtime, app, router, store, options }
    }

    /// Lets time pass at the hub until it is as late there as in the world.
    pub fn pass(&self, now: u64) {
        while self.pass_some(now, Duration::MAX) {}
    }

    /// The same, but no more than `most` at once; `true`: it is not as late yet.
    pub fn pass_some(&self, now: u64, most: Duration) -> bool {
        let time = Duration::from_millis(now.saturating_sub(NOW.get())).min(most);
        if !time.is_zero() {
            NOW.set(NOW.get() + u64::try_from(time.as_millis()).expect("worlds last for minutes"));
            self.wait(time);
        }
        NOW.get() < now
    }

    /// Loses its memory, and whatever it was doing.
    pub fn restart(&mut self) {
        self.runtime = runtime();
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

    /// Makes a token for foreign clients: it opens the notes.
    pub fn admit(&self, name: &str, secret: String) {
        self.admit_with(name, secret, &["notes"], json!({}));
    }

    /// Makes a token for some collections, and for some of their rows.
    pub fn admit_with(&self, name: &str, secret: String, collections: &[&str], rows: Value) {
        let mut words = json!({ "name": name, "space": self.options.default_space, "collections": collections });
        words.as_object_mut().expect("an object").extend(rows.as_object().cloned().unwrap_or_default());
        let spec: TokenSpec = serde_json::from_value(words).expect("a valid token");
        self.runtime.block_on(self.app.tokens.add_with(spec, Some(secret))).expect("a memory store keeps tokens");
    }

    /// Changes what a token opens.
    pub fn regrant(&self, name: &str, change: Value) {
        let change: TokenChange = serde_json::from_value(change).expect("a valid change");
        let name = NodeId::new(name).expect("a valid name");
        self.runtime.block_on(self.app.tokens.change(&name, &change)).expect("the token is there");
    }

    /// Gets what stands at a path.
    pub fn get(&self, token: &str, path: &str) -> Answered {
        self.runtime.block_on(self.request(Request::get(path), token, Body::empty()))
    }

    /// Begins to get what stands at a path.
    pub fn begin_get(&self, path: &str) -> JoinHandle<Answered> {
        let request = Request::get(path).body(Body::empty()).expect("a valid request");
        self.runtime.spawn(answered(self.router.clone(), request))
    }

    /// Takes what was got.
    pub fn end_get(&self, got: JoinHandle<Answered>) -> Result<Answered, JoinError> {
        self.runtime.block_on(got)
    }

    /// Lets the hub do what it can without waiting.
    pub fn breathe(&self) {
        self.runtime.block_on(async {
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Lets the hub's timers go on, beside the world's time.
    pub fn wait(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Posts to a path.
    pub fn post_to(&self, path: &str, token: &str, body: &str) -> Answered {
        self.runtime.block_on(self.request(Request::post(path), token, Body::from(body.to_owned())))
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
        self.request(Request::post("/api/sync/exchange"), token, Body::from(body.to_owned())).await
    }

    async fn request(&self, request: Builder, token: &str, body: Body) -> Answered {
        let request = request.header("authorization", format!("Bearer {token}"));
        answered(self.router.clone(), request.body(body).expect("a valid request")).await
    }
}

async fn answered(router: Router, request: Request<Body>) -> Answered {
    let response = router.oneshot(request).await.expect("a router always answers");
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("an answer in memory is whole");
    (status, String::from_utf8(bytes.to_vec()).expect("answers are UTF-8"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime starts")
}

fn opened(runtime: &Runtime, store: &Arc<Recorder>, options: &Options) -> (Arc<App>, Router) {
    let _inside = runtime.enter();
    let store: Arc<Recorder> = Arc::clone(store);
    let app = runtime.block_on(open(store, options.clone())).expect("the hub opens");
    (Arc::clone(&app), router(app))
}
