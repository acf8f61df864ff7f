//! FNV-1a: tells contents apart and names foreign ops. Not a defence against an adversary, who
//! could only collide with their own ops.

/// 64 bits, for "is this the same content again".
#[must_use]
pub fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(Fnv64::default(), |hash, byte| hash.with(*byte)).0
}

/// The same, of bytes that come one by one.
#[derive(Clone, Copy)]
pub struct Fnv64(pub u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Fnv64(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv64 {
    /// One byte more.
    #[must_use]
    pub fn with(self, byte: u8) -> Fnv64 {
        Fnv64((self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// 128 bits over several parts, each closed by its length so that parts cannot run together.
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
