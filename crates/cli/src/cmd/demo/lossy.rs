//! A network that carries requests to the hub and loses the replies to pushes.

use futures_util::future::BoxFuture;
use syncline::sync::{ApiClient, ApiError, ApiReply, ApiStream, HttpApiClient};

/// Everything reaches the hub; what the hub says to a push does not come back.
pub(super) struct LossyClient(pub(super) HttpApiClient);

impl ApiClient for LossyClient {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        self.0.get(path)
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        Box::pin(async move {
            self.0.post(path, body).await?;
            Err(ApiError::new("the reply was lost"))
        })
    }

    fn stream<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiStream, ApiError>> {
        self.0.stream(path)
    }
}
