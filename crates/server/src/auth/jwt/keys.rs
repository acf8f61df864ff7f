//! Keys that signatures are checked with. A key knows its algorithm: a token cannot have a public key taken for a secret.

use super::der::public_key;
use super::options::JwtAlgorithm;
use super::token::Signed;
use crate::error::ServerError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Keys of a set; a set with more is refused.
const KEYS_MAX: usize = 100;
/// Bytes of an HS256 secret, as its definition asks for.
const SECRET_BYTES_MIN: usize = 32;

/// Tells one key from another.
pub(in crate::auth) type KeyPrint = [u8; 32];

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    material: Material,
    pub(super) print: KeyPrint,
}

#[derive(Clone)]
enum Material {
    Secret(hmac::Key),
    /// As PKCS #1 writes it.
    Rsa(Vec<u8>),
    /// Its modulus and exponent.
    RsaParts(Vec<u8>, Vec<u8>),
    /// A point of P-256, uncompressed.
    P256(Vec<u8>),
}

impl Key {
    fn new(kid: Option<String>, material: Material) -> Key {
        let print = match &material {
            // A secret of the configuration is the same as long as the process lives.
            Material::Secret(_) => [0; 32],
            Material::Rsa(bytes) | Material::P256(bytes) => Sha256::digest(bytes).into(),
            Material::RsaParts(n, e) => {
                Sha256::new().chain_update(n).chain_update([0]).chain_update(e).finalize().into()
            }
        };
        Key { kid, material, print }
    }

    /// The secret of HS256.
    pub(super) fn secret(bytes: &[u8]) -> Result<Key, ServerError> {
        if bytes.len() < SECRET_BYTES_MIN {
            let what = format!("the secret of `auth.jwt` has {} bytes and needs {SECRET_BYTES_MIN}", bytes.len());
            return Err(ServerError::Config(format!("{what}, so that nobody can guess it from a token")));
        }
        Ok(Key::new(None, Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))))
    }

    /// A public key in PEM form.
    pub(super) fn public(pem: &[u8]) -> Result<Key, ServerError> {
        let unfit = || {
            let what = "the file of `auth.jwt.public_key_file` holds no public key of RSA or P-256";
            ServerError::Config(format!("{what} in PEM form (`-----BEGIN PUBLIC KEY-----`)"))
        };
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| unfit())?;
        let (algorithm, bytes) = public_key(&info).ok_or_else(unfit)?;
        Ok(match algorithm {
            JwtAlgorithm::Rs256 => Key::new(None, Material::Rsa(bytes.to_vec())),
            JwtAlgorithm::Es256 | JwtAlgorithm::Hs256 => Key::new(None, Material::P256(bytes.to_vec())),
        })
    }

    /// The algorithm that it is for.
    pub(super) fn algorithm(&self) -> JwtAlgorithm {
        match self.material {
            Material::Secret(_) => JwtAlgorithm::Hs256,
            Material::Rsa(_) | Material::RsaParts(..) => JwtAlgorithm::Rs256,
            Material::P256(_) => JwtAlgorithm::Es256,
        }
    }

    /// Whether a token may mean this key.
    pub(super) fn is_meant(&self, token: &Signed<'_>) -> bool {
        let named = self.kid.is_none() || token.kid.is_none() || self.kid == token.kid;
        named && self.algorithm() == token.algorithm
    }

    /// Whether it has signed the token.
    pub(super) fn signed(&self, token: &Signed<'_>) -> bool {
        let (message, made) = (token.message, &token.signature);
        let checked = match &self.material {
            Material::Secret(key) => return hmac::verify(key, message, made).is_ok(),
            Material::Rsa(der) => {
                signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, der).verify(message, made)
            }
            Material::RsaParts(n, e) => {
                signature::RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, made)
            }
            Material::P256(point) => {
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, made)
            }
        };
        checked.is_ok()
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a JSON Web Key Set that can be used here. Others in it are for somebody else; secrets do not belong into one.
///
/// # Errors
/// A sentence: it is no key set, or holds too many keys, or none of use.
pub(super) fn key_set(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: KeySet = serde_json::from_slice(text).map_err(|error| format!("it is no JSON Web Key Set ({error})"))?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("it has {} keys, and the hub takes {KEYS_MAX} at most", set.keys.len()));
    }
    let keys: Vec<Key> = set.keys.into_iter().filter_map(|key| usable(serde_json::from_value(key).ok()?)).collect();
    if keys.is_empty() { Err("it has no key for RS256 or ES256".to_owned()) } else { Ok(keys) }
}

fn usable(jwk: Jwk) -> Option<Key> {
    let bytes = |part: Option<String>| URL_SAFE_NO_PAD.decode(part?).ok();
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Material::RsaParts(bytes(jwk.n)?, bytes(jwk.e)?),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            Material::P256([&[4], &x[..], &y[..]].concat())
        }
        _ => return None,
    };
    let key = Key::new(jwk.kid, material);
    let for_this = jwk.alg.is_none_or(|alg| JwtAlgorithm::parse(&alg) == Some(key.algorithm()));
    (for_this && jwk.usage.is_none_or(|usage| usage == "sig")).then_some(key)
}
