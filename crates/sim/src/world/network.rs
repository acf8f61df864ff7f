//! Faults of the network as plain numbers, drawn from the world's dice.

use fastrand::Rng;

/// How bad the network is, in per mille of messages.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Requests that never arrive.
    pub drop: u32,
    /// Requests that arrive twice; the second answer goes nowhere.
    pub repeat: u32,
    /// Requests that are carried out and whose answer never arrives, or only its beginning.
    pub cut: u32,
    /// Slowest way in one direction.
    pub delay_ms: u64,
    /// Answers slower than the client waits: it repeats, and the old answer arrives late.
    pub late: u32,
}

impl Faults {
    /// A network that delivers.
    pub const NONE: Faults = Faults { drop: 0, repeat: 0, cut: 0, delay_ms: 20, late: 0 };

    /// A network as bad as the dice say.
    #[must_use]
    pub fn roll(dice: &mut Rng) -> Faults {
        Faults {
            drop: dice.u32(0..200),
            repeat: dice.u32(0..200),
            cut: dice.u32(0..200),
            delay_ms: dice.u64(1..3_000),
            late: dice.u32(0..100),
        }
    }

    /// What becomes of one request.
    #[must_use]
    pub fn fate(&self, dice: &mut Rng) -> Fate {
        let mut happens = |per_mille: u32| dice.u32(0..1_000) < per_mille;
        let (lost, repeated, cut, late) =
            (happens(self.drop), happens(self.repeat), happens(self.cut), happens(self.late));
        let mut way = || dice.u64(1..=self.delay_ms.max(1));
        Fate { lost, repeated, cut, late, there_ms: way(), again_ms: way() * 3, back_ms: way() }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// It never arrives.
    pub lost: bool,
    /// It arrives a second time.
    pub repeated: bool,
    /// Its answer is cut.
    pub cut: bool,
    /// Its answer arrives after the client has given up.
    pub late: bool,
    /// Way to the hub.
    pub there_ms: u64,
    /// After its first arrival, the second.
    pub again_ms: u64,
    /// Way back.
    pub back_ms: u64,
}
