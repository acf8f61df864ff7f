//! What a PostgreSQL server refuses, and whose matter it is: one object's, the application's, or everybody's.

use crate::engine::{Fault, TAKEN};
use crate::error::AttachError;
use syncline_core::model::with_causes;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// A rule that one object breaks is that object's matter; what the application holds is worth another try.
pub(super) fn fault(error: &Error, waited_ms: u64) -> Fault {
    let Some(refused) = error.as_db_error() else {
        return Fault::Failed(AttachError::Database(told(error)));
    };
    let code = refused.code();
    match code.code() {
        "55P03" | "40001" | "40P01" => return Fault::Busy(words(refused)),
        "57014" => return Fault::Failed(AttachError::Locked { waited_ms }),
        _ => {}
    }
    match of_object(code) {
        Some(word) => Fault::aside(word, words(refused)),
        None => Fault::Failed(of_database(refused)),
    }
}

/// The word for a rule that an object breaks.
pub(super) fn of_object(code: &SqlState) -> Option<&'static str> {
    Some(match code.code() {
        "23505" => TAKEN,
        "23514" | "44000" => "check",
        "23502" => "not_null",
        "23503" | "23001" => "foreign_key",
        "23P01" => "exclusion",
        "54000" => "too_big",
        "42804" | "428C9" => "datatype",
        // Row security: rows that this user must not write.
        "42501" => return None,
        code if code.starts_with("22") => "datatype",
        // `RAISE EXCEPTION`, with whatever code its author has chosen, or an error in a trigger of the application.
        code if code.starts_with("P0") || code.starts_with("38") || code.starts_with("09") => "trigger",
        _ => return None,
    })
}

fn of_database(refused: &DbError) -> AttachError {
    match refused.code().code() {
        "42501" | "25006" => AttachError::Denied(words(refused)),
        "53100" => AttachError::Full,
        _ => AttachError::Database(words(refused)),
    }
}

/// The server's words.
pub(super) fn words(refused: &DbError) -> String {
    match refused.detail() {
        Some(detail) => format!("{} ({detail})", refused.message()),
        None => refused.message().to_owned(),
    }
}

/// An error with its causes, which say what really happened.
pub(super) fn told(error: &Error) -> String {
    error.as_db_error().map_or_else(|| with_causes(error), words)
}
