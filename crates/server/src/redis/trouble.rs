//! What is wrong with a Redis, in words for the person who runs the hub.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What came instead of what was asked for, and what to do about it.
pub(super) fn told(error: &RedisError) -> String {
    // Whoever answers with something else may do so at any length.
    let said: String = error.to_string().chars().take(300).collect();
    format!("{said}; {}", advice(error))
}

fn advice(error: &RedisError) -> &'static str {
    const PASSWORD: &str =
        "put the right password into `redis.password_file`, and its user, if it has one, into `redis.username`";
    let says = |words| error.to_string().contains(words);
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => PASSWORD,
        // Where no password is given, the first thing that is refused is the choice of a database.
        _ if says("Authentication required") => PASSWORD,
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => {
            "let the user do what the hub does: `ACL SETUSER name resetchannels &* +subscribe +psubscribe +publish +ping +select`"
        }
        (ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown), _) => {
            "it is starting; the hub goes on by itself"
        }
        (ErrorKind::Server(_) | ErrorKind::Extension, _) if says("switch database") => {
            "name a database that it has in `redis.db`"
        }
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => {
            "see that it is a Redis of version 2.8 or newer that takes SUBSCRIBE, PSUBSCRIBE and PUBLISH"
        }
        (ErrorKind::Io, _) => "see that it runs, and that `redis.socket`, or `redis.host` and `redis.port`, lead to it",
        _ => "what answers there does not speak as Redis does; see `redis.host` and `redis.port`",
    }
}
