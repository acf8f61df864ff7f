//! From a store and options to a hub that is ready to serve.

use crate::agreement;
use crate::app::App;
use crate::auth::Tokens;
use crate::dialect::live::Live;
use crate::error::ServerError;
use crate::hub::Hub;
use crate::meters::Meters;
use crate::options::{ExchangeOptions, Options};
use crate::rules;
use crate::store::Store;
use std::sync::Arc;
use syncline_core::wire::exchange::{is_uuid, major_version};

/// Opens the default space and those that the options declare, and takes over their rules and tokens.
///
/// # Errors
/// Those of the store, or [`ServerError::Config`].
pub async fn open(store: Arc<dyn Store>, options: Options) -> Result<Arc<App>, ServerError> {
    check_exchange(&options.exchange)?;
    let meters = Arc::new(Meters::default());
    let hub = Hub::new(Arc::clone(&store), options.settings, Arc::clone(&meters));
    hub.create_space(&options.default_space).await?;
    agreement::compare(store.as_ref(), &options).await?;
    for declared in &options.collections {
        rules::declare(&hub, declared).await?;
    }
    for token in &options.tokens {
        if token.secret.len() < 8 {
            let name = &token.spec.name;
            return Err(ServerError::Config(format!("the secret of token `{name}` is shorter than 8 characters")));
        }
        if let Some(space) = &token.spec.space {
            hub.create_space(space).await?;
        }
    }
    for (what, beside) in options.open_beside_rows() {
        tracing::warn!("{what}: {beside}; name its `collections` to leave them out");
    }
    let mut tokens = Tokens::open(store, &options.tokens).await?;
    if let Some(jwt) = options.jwt.clone() {
        for space in jwt.grants.iter().filter_map(|grant| grant.spec.space.as_ref()) {
            hub.create_space(space).await?;
        }
        tokens = tokens.with_jwt(jwt).await?;
    }
    Ok(App::new(hub, tokens, options, meters, |app| Arc::new(Live::new(app))))
}

fn check_exchange(options: &ExchangeOptions) -> Result<(), ServerError> {
    let ExchangeOptions { hub_id, schema_version, .. } = options;
    if !is_uuid(hub_id) {
        return Err(ServerError::Config(format!("`exchange.hub_id` is `{hub_id}` and must be a UUID")));
    }
    if major_version(schema_version).is_none() {
        let rule = "must be a version such as \"1.2.0\"";
        return Err(ServerError::Config(format!("`exchange.schema_version` is `{schema_version}` and {rule}")));
    }
    Ok(())
}
