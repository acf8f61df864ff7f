//! A transaction that has a space's turn and is no commit of pushes.

use super::pool::Session;
use super::space::{self, State};
use super::trouble::Failure;
use crate::store::{Trim, Trimmed};
use syncline_core::model::SpaceName;

/// A step of trimming that has its turn.
pub(super) struct Turn<'s> {
    pub session: &'s Session,
    pub space: &'s SpaceName,
    pub trim: Trim,
    pub trimmed: Trimmed,
}

/// Begins a transaction with the space's turn alone.
pub(super) async fn take(session: &Session, space: &SpaceName) -> Result<State, Failure> {
    let mut pipeline = session.begin();
    let asked = space::lock(&mut pipeline, space);
    space::found(&mut pipeline.answers().await?, asked, space)
}
