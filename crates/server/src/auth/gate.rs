//! An application's own decision about who comes in, instead of the hub's tokens.

use super::Secret;
use axum::http::{HeaderMap, Uri};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// How a client came.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// Headers of the request that opened the connection.
    pub headers: HeaderMap,
    /// Its path and query.
    pub uri: Uri,
    /// What the client sent with CONNECT, as JSON text; empty when nothing.
    pub auth: String,
}

type Ask = dyn Fn(Handshake, Option<String>) -> BoxFuture<'static, bool> + Send + Sync;

/// Decides about every connection. Whoever is let in may read and write the default space.
#[derive(Clone)]
pub struct Gate {
    /// `None`: everybody comes in.
    ask: Option<Arc<Ask>>,
    /// Of the token that stands for all who were let in.
    secret: Secret,
}

impl Gate {
    pub(crate) fn new(ask: Option<Arc<Ask>>, secret: Secret) -> Gate {
        Gate { ask, secret }
    }

    /// The secret of the token that a client is let in with; `None`: it is not.
    pub(crate) async fn admit(&self, handshake: Handshake, token: Option<String>) -> Option<&Secret> {
        let admitted = match &self.ask {
            Some(ask) => ask(handshake, token).await,
            None => true,
        };
        admitted.then_some(&self.secret)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("asks", &self.ask.is_some()).finish_non_exhaustive()
    }
}
