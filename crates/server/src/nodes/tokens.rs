//! The tokens of registered nodes: what they are called, and what they open.

use crate::auth::{Secret, TokenSpec, Tokens};
use crate::error::ServerError;
use syncline_core::model::{NodeId, Registration, SpaceName};

/// What the names of their tokens begin with.
const TOKEN_PREFIX: &str = "node:";

/// Makes the token of a node. Codes are unique in their space only: a code that names a token already is
/// told apart by the node's id.
pub(super) async fn add_token(
    tokens: &Tokens,
    space: &SpaceName,
    registration: &Registration,
    secret: Option<String>,
) -> Result<Secret, ServerError> {
    let [name, longer] = token_names(registration)?;
    match tokens.add_with(token_of(space, registration, name), secret.clone()).await {
        Err(ServerError::Taken { code: "token_exists", .. }) => {
            tokens.add_with(token_of(space, registration, longer), secret).await
        }
        added => added,
    }
}

/// What the token of a node may be called.
pub(super) fn token_names(Registration { id, code, .. }: &Registration) -> Result<[NodeId; 2], ServerError> {
    Ok([NodeId::new(format!("{TOKEN_PREFIX}{code}"))?, NodeId::new(format!("{TOKEN_PREFIX}{code}@{id}"))?])
}

/// The token of a node opens what its plan names, to it alone; where that is only some rows, in packets alone.
pub(super) fn token_of(space: &SpaceName, registration: &Registration, name: NodeId) -> TokenSpec {
    TokenSpec {
        space: Some(space.clone()),
        collections: registration.plan.types.clone(),
        node: Some(registration.id.clone()),
        packets: !registration.plan.rows.is_empty() || !registration.plan.write_rows.is_empty(),
        ..TokenSpec::named(name)
    }
}
