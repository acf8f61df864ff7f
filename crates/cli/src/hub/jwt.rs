//! The part of the options that concerns tokens of an identity provider.

use super::plan::not_json;
use super::wish::TokenWish;
use crate::config::{Config, Entry};
use crate::error::CliError;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use syncline_core::model::SpaceName;
use syncline_core::wire::object;
use syncline_server::auth::{JwtAlgorithm, JwtGrant, JwtKeys, JwtOptions};

/// How signed tokens are taken; `None`: they are not.
///
/// # Errors
/// Keys from nowhere or from two places, a file that cannot be read, a word that is no algorithm, a grant that is none.
pub fn jwt(config: &Config, space: &SpaceName) -> Result<Option<JwtOptions>, CliError> {
    let algorithms = algorithms(config)?;
    let keys = keys(config)?;
    let (Some(keys), false) = (keys, algorithms.is_empty()) else {
        let given = config.list("auth.jwt.algorithms").len() + config.grants.len();
        return match given {
            0 => Ok(None),
            _ => Err(CliError::Usage(
                "`auth.jwt` needs `algorithms` and the keys: one of `secret_file`, `public_key_file`, `jwks_file`, `jwks_url`"
                    .to_owned(),
            )),
        };
    };
    let text = |key| config.text(key).map(str::to_owned);
    Ok(Some(JwtOptions {
        issuer: text("auth.jwt.issuer"),
        audience: text("auth.jwt.audience"),
        leeway: config.duration("auth.jwt.leeway"),
        refresh: config.duration("auth.jwt.jwks_refresh"),
        keep: config.duration("auth.jwt.jwks_keep"),
        grants: config.grants.iter().map(|entry| grant(entry, space)).collect::<Result<_, _>>()?,
        ..JwtOptions::new(algorithms, keys)
    }))
}

fn algorithms(config: &Config) -> Result<BTreeSet<JwtAlgorithm>, CliError> {
    let read = |name: &String| {
        let unknown = || CliError::Usage(format!("`auth.jwt.algorithms` knows HS256, RS256 and ES256, not `{name}`"));
        JwtAlgorithm::parse(name).ok_or_else(unknown)
    };
    config.list("auth.jwt.algorithms").iter().map(read).collect()
}

fn keys(config: &Config) -> Result<Option<JwtKeys>, CliError> {
    let path = |key| config.path(key);
    let read = |path: PathBuf| std::fs::read(&path).map_err(|source| CliError::file("read", &path, source));
    let url = config.text("auth.jwt.jwks_url").map(|url| JwtKeys::Url(url.to_owned()));
    let places = [
        path("auth.jwt.secret_file").map(|path| Ok(JwtKeys::Secret(trimmed(read(path)?)))),
        path("auth.jwt.public_key_file").map(|path| Ok(JwtKeys::PublicKey(read(path)?))),
        path("auth.jwt.jwks_file").map(|path| present(&path).map(|()| JwtKeys::File(path))),
        url.map(Ok),
    ];
    let mut places = places.into_iter().flatten();
    match (places.next(), places.next()) {
        (None, _) => Ok(None),
        (Some(keys), None) => keys.map(Some),
        (Some(_), Some(_)) => Err(CliError::Usage(
            "the keys of `auth.jwt` are given twice; keep one of `secret_file`, `public_key_file`, `jwks_file`, `jwks_url`"
                .to_owned(),
        )),
    }
}

/// A line break behind the secret is the editor's.
fn trimmed(mut secret: Vec<u8>) -> Vec<u8> {
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    secret
}

fn present(path: &Path) -> Result<(), CliError> {
    std::fs::metadata(path).map(drop).map_err(|source| CliError::file("read", path, source))
}

fn grant(entry: &Entry, space: &SpaceName) -> Result<JwtGrant, CliError> {
    let when = entry.text("when").unwrap_or("{}");
    let what = format!("{}: `when`", entry.place);
    let expected = "a filter over the claims, like {\"role\": \"editor\"}";
    let when: Value = object::read(&what, when.as_bytes()).map_err(|error| not_json(&what, expected, error))?;
    let mut wish = TokenWish::from_entry(entry);
    // Names of tokens have no spaces; this one is only for messages.
    wish.name = wish.name.replace(' ', "-");
    let space_claim = wish.space.take_if(|name| name.starts_with('$')).map(|name| name[1..].to_owned());
    Ok(JwtGrant { when, space_claim, spec: wish.spec(space)? })
}
