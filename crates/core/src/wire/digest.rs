//! Digests: tell contents apart and name foreign ops. Not a defence against an adversary, who
//! could only collide with their own ops.

/// 64 bits, for "is this the same content again": FNV-1a.
#[must_use]
pub fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The same of several parts, each closed by its length, at eight bytes a step: for contents that are read on the way.
#[derive(Clone, Copy)]
pub struct Digest64(pub u64);

impl Default for Digest64 {
    fn default() -> Self {
        Digest64(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest64 {
    /// One part more.
    #[must_use]
    pub fn with(self, part: &[u8]) -> Digest64 {
        let (words, rest) = part.as_chunks();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let hash = words.iter().chain([&last]).fold(self, |hash, word| hash.step(u64::from_le_bytes(*word)));
        hash.step(part.len() as u64)
    }

    /// Both halves of the product, so that each bit of a word moves bits on either side of it.
    fn step(self, word: u64) -> Digest64 {
        let (low, high) = (self.0 ^ word).carrying_mul(0x9e37_79b9_7f4a_7c15, 0);
        Digest64(low ^ high)
    }
}

/// 128 bits (FNV-1a) over several parts, each closed by its length so that parts cannot run together.
#[must_use]
pub fn fnv128(parts: &[&[u8]]) -> [u8; 16] {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        for byte in part.iter().chain(&(part.len() as u64).to_be_bytes()) {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn parts_of_any_length_do_not_run_together_and_each_bit_counts() {
        let text = b"abcdefgh12345678ABCDEFGH";
        let of = |parts: &[&[u8]]| parts.iter().fold(Digest64::default(), |hash, part| hash.with(part)).0;
        let mut seen = BTreeSet::from([of(&[]), of(&[b""]), of(&[b"", b""]), of(&[b"\0"]), of(&[b"\0\0"])]);
        for cut in 0..=text.len() {
            let (start, end) = text.split_at(cut);
            assert!(seen.insert(of(&[start, end])), "cut at {cut}");
        }
        for bit in 0..text.len() * 8 {
            let mut other = *text;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(of(&[&other])), "bit {bit}");
        }
        assert_eq!(seen.len(), 5 + text.len() + 1 + text.len() * 8);
    }
}
