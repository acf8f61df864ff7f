//! Where keys come from. A set in a file or at an address is read when the hub starts, again at some age, and when a token
//! names a key that is not in it, but not too often, because anybody can name such a
//! key. While it cannot be read the old one counts on.

use super::keys::{Key, KeyPrint, key_set};
use super::options::{JwtAlgorithm, JwtKeys, JwtOptions};
use super::token::Signed;
use crate::error::ServerError;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use syncline_core::model::innermost;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// For one reading, from the first byte to the last.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a key set.
const SET_BYTES_MAX: usize = 1 << 20;
/// After a reading that failed.
const TRY_AGAIN: Duration = Duration::from_secs(30);

const UNKNOWN: &str = "the token is signed with a key that the hub does not know";

/// Whether another reading of the keys may help.
pub(super) fn may_come(error: &ServerError) -> bool {
    match error {
        ServerError::Unauthorized { reason } => *reason == UNKNOWN,
        error => matches!(error, ServerError::KeysPending),
    }
}

/// A place of keys, and those that were read last.
pub(super) struct Source {
    place: Option<Origin>,
    refresh: Duration,
    keep: Duration,
    ask_every: Duration,
    state: RwLock<State>,
    asked: Notify,
    /// How often it was read, successfully or not.
    readings: watch::Sender<u64>,
}

enum Origin {
    File(PathBuf),
    Url(reqwest::Client, reqwest::Url),
}

#[derive(Default)]
struct State {
    keys: Vec<Key>,
    /// When they were read; `None`: never.
    read_at: Option<Instant>,
    /// When it was last tried.
    tried_at: Option<Instant>,
    /// A reading was asked for and has not ended.
    pending: bool,
    /// What was in the way of the last one.
    why: Option<String>,
}

impl Source {
    pub(super) async fn open(options: &JwtOptions) -> Result<Arc<Source>, ServerError> {
        let (place, keys) = match &options.keys {
            JwtKeys::Secret(bytes) => (None, vec![Key::secret(bytes)?]),
            JwtKeys::PublicKey(pem) => (None, vec![Key::public(pem)?]),
            JwtKeys::File(path) => (Some(Origin::File(path.clone())), Vec::new()),
            JwtKeys::Url(url) => (Some(place(url)?), Vec::new()),
        };
        check(options, &keys)?;
        let state = RwLock::new(State { keys, ..State::default() });
        let (readings, _) = watch::channel(0);
        let (refresh, keep, ask_every) = (options.refresh.max(Duration::from_secs(1)), options.keep, options.ask_every);
        let source = Arc::new(Source { place, refresh, keep, ask_every, state, asked: Notify::new(), readings });
        if let Some(place) = &source.place {
            let read = source.read().await;
            if let (Origin::File(_), Err(why)) = (place, read) {
                return Err(ServerError::Config(format!("`auth.jwt.jwks_file` {}: {why}", place.name())));
            }
            tokio::spawn(follow(Arc::downgrade(&source)));
        }
        Ok(source)
    }

    /// The key that has signed a token.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`], or [`ServerError::KeysPending`] where there are no keys, or too old ones.
    pub(super) fn key_of(&self, token: &Signed<'_>) -> Result<KeyPrint, ServerError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if !self.hold(&state) {
            return Err(ServerError::KeysPending);
        }
        let mut meant = state.keys.iter().filter(|key| key.is_meant(token)).peekable();
        if meant.peek().is_some() {
            let signer = meant.find(|key| key.signed(token));
            let refusal = ServerError::Unauthorized { reason: "the token's signature is not that of its key" };
            return signer.map(|key| key.print).ok_or(refusal);
        }
        // Its key may have come since: who asks again has it read.
        let wait = self.place.is_some() && state.read_at.is_some_and(|at| token.is_issued_within(at.elapsed()));
        Err(if wait { ServerError::KeysPending } else { ServerError::Unauthorized { reason: UNKNOWN } })
    }

    /// Why signed tokens are not taken, in words; `None`: they are.
    pub(super) fn trouble(&self) -> Option<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let place = self.place.as_ref().filter(|_| !self.hold(&state))?.name();
        let why = state.why.as_deref().unwrap_or("nobody has tried yet");
        Some(format!(
            "the keys of signed tokens at {place} cannot be read ({why}), and signed tokens are answered 503 until they can; look \
             whether the address is right and answers from this machine"
        ))
    }

    /// Whether a key is still among those that count.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`], or [`ServerError::KeysPending`] where nobody can tell at the moment.
    pub(super) fn check(&self, print: &KeyPrint) -> Result<(), ServerError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if !self.hold(&state) {
            return Err(ServerError::KeysPending);
        }
        let gone = ServerError::Unauthorized { reason: "the key that has signed the token counts no more" };
        if state.keys.iter().any(|key| key.print == *print) { Ok(()) } else { Err(gone) }
    }

    /// Waits until the reading that was asked for has ended; `false`: none was asked for.
    pub(super) async fn fetched(&self) -> bool {
        let mut readings = self.readings.subscribe();
        readings.mark_unchanged();
        if !self.state.read().unwrap_or_else(PoisonError::into_inner).pending {
            // It may have ended just now.
            return self.place.is_some();
        }
        matches!(timeout(READ_TIMEOUT * 2, readings.changed()).await, Ok(Ok(())))
    }

    /// Whether the keys are not too old.
    fn hold(&self, state: &State) -> bool {
        self.place.is_none() || state.read_at.is_some_and(|at| at.elapsed() <= self.keep)
    }

    /// Has the keys read again, unless that was done a moment ago; tells whether it is being done.
    pub(super) fn ask(&self) -> bool {
        if self.place.is_none() {
            return false;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let lately = state.tried_at.is_some_and(|at| at.elapsed() < self.ask_every);
        if !state.pending && !lately {
            state.pending = true;
            self.asked.notify_one();
        }
        state.pending
    }

    /// Reads the keys; what cannot be read leaves the old ones, and says why.
    async fn read(&self) -> Result<(), String> {
        let Some(place) = &self.place else { return Ok(()) };
        self.state.write().unwrap_or_else(PoisonError::into_inner).pending = true;
        let read = match timeout(READ_TIMEOUT, place.text()).await {
            Ok(text) => text.and_then(|text| key_set(&text)),
            Err(_) => Err(format!("it did not answer within {} s", READ_TIMEOUT.as_secs())),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        (state.tried_at, state.pending) = (Some(Instant::now()), false);
        let read = read.map(|keys| (state.keys, state.read_at) = (keys, state.tried_at));
        state.why = read.as_ref().err().cloned();
        if let Err(why) = &read {
            let (place, keep_s) = (place.name(), self.keep.as_secs());
            match state.read_at.map(|at| at.elapsed().as_secs()) {
                Some(age_s) if !self.hold(&state) => tracing::warn!(
                    place,
                    why,
                    age_s,
                    keep_s,
                    "the keys of signed tokens cannot be read, and the old ones are older than `jwks_keep`: such tokens are answered 503 until they can"
                ),
                Some(age_s) => tracing::warn!(
                    place,
                    why,
                    age_s,
                    keep_s,
                    "the keys of signed tokens cannot be read; the old ones count on until they are `jwks_keep` old"
                ),
                None => tracing::warn!(
                    place,
                    why,
                    "the keys of signed tokens cannot be read, and there are none: such tokens are answered 503 until they can"
                ),
            }
        }
        drop(state);
        self.readings.send_modify(|readings| *readings += 1);
        read
    }

    /// How long to the next reading that nobody asks for.
    fn pause(&self) -> Duration {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match (state.read_at, state.tried_at) {
            (Some(read), Some(tried)) if read == tried => self.refresh,
            _ => self.refresh.min(TRY_AGAIN),
        }
    }
}

/// Until nobody needs the keys any more.
async fn follow(source: Weak<Source>) {
    loop {
        let Some(here) = source.upgrade() else { return };
        let pause = here.pause();
        tokio::select! {
            () = here.asked.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // It has logged what is in the way, and is tried again.
        let _logged = here.read().await;
    }
}

impl Origin {
    fn name(&self) -> String {
        match self {
            Origin::File(path) => path.display().to_string(),
            Origin::Url(_, url) => url.to_string(),
        }
    }

    async fn text(&self) -> Result<Vec<u8>, String> {
        match self {
            Origin::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
                let text = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                if text.len() > SET_BYTES_MAX { Err(too_large()) } else { Ok(text) }
            }
            Origin::Url(client, url) => {
                let sent = client.get(url.clone()).header("accept", "application/json").send().await;
                let mut reply = sent.map_err(|error| innermost(&error))?;
                if !reply.status().is_success() {
                    return Err(format!("it answers {}", reply.status()));
                }
                let mut text = Vec::new();
                while let Some(piece) = reply.chunk().await.map_err(|error| innermost(&error))? {
                    text.extend_from_slice(&piece);
                    if text.len() > SET_BYTES_MAX {
                        return Err(too_large());
                    }
                }
                Ok(text)
            }
        }
    }
}

fn too_large() -> String {
    format!("it is larger than {SET_BYTES_MAX} bytes")
}

fn place(url: &str) -> Result<Origin, ServerError> {
    let bad = |why: String| ServerError::Config(format!("`auth.jwt.jwks_url` is `{url}`: {why}"));
    let parsed = reqwest::Url::parse(url).map_err(|error| bad(error.to_string()))?;
    let here = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if parsed.scheme() != "https" && !(parsed.scheme() == "http" && here) {
        let why = "it must be https: whoever changes the keys on their way could make any token";
        return Err(bad(why.to_owned()));
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().connect_timeout(READ_TIMEOUT).redirect(reqwest::redirect::Policy::none());
    let client = client.build().map_err(|error| bad(error.to_string()))?;
    Ok(Origin::Url(client, parsed))
}

/// Algorithms and keys that never meet would refuse every token without saying why.
fn check(options: &JwtOptions, keys: &[Key]) -> Result<(), ServerError> {
    let has = |algorithm| options.algorithms.contains(&algorithm);
    let sets = matches!(options.keys, JwtKeys::File(_) | JwtKeys::Url(_));
    let wrong = match keys.first() {
        Some(key) => !has(key.algorithm()) || options.algorithms.len() > 1,
        None => sets && (has(JwtAlgorithm::Hs256) || options.algorithms.is_empty()),
    };
    if !wrong {
        return Ok(());
    }
    let rule = "a secret is for HS256 alone, a public key for its one algorithm, a key set for RS256 and ES256";
    Err(ServerError::Config(format!("`auth.jwt.algorithms` does not fit the keys: {rule}")))
}
