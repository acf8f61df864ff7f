//! As much of DER as a public key in PEM form needs: what it is for, and its bits.

use super::options::JwtAlgorithm;

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
const BITS: u8 = 0x03;
/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// The key inside a `SubjectPublicKeyInfo`; `None`: of another kind, or broken.
pub(super) fn public_key(info: &[u8]) -> Option<(JwtAlgorithm, &[u8])> {
    let (inside, _) = element(SEQUENCE, info)?;
    let (algorithm, rest) = element(SEQUENCE, inside)?;
    let (bits, _) = element(BITS, rest)?;
    let (object, parameters) = element(OBJECT, algorithm)?;
    let (unused, key) = bits.split_first()?;
    match object {
        _ if *unused != 0 => None,
        RSA => Some((JwtAlgorithm::Rs256, key)),
        EC if element(OBJECT, parameters)?.0 == P256 => Some((JwtAlgorithm::Es256, key)),
        _ => None,
    }
}

/// The content of the element at the beginning, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 | 0x82 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}
