//! Chance with a seed that is printed, so that a failure can be run again.

/// A small generator (splitmix64): the same seed gives the same numbers for ever.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// From `AO_TEST_SEED`, else from the clock; printed under `what`.
    pub fn printed(what: &str) -> Self {
        let seed = Self::number();
        println!("{what}: AO_TEST_SEED={seed}");
        Self(seed)
    }

    /// The one that begins with this number.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// What `AO_TEST_SEED` says, else a number from the clock. Whoever takes it prints it.
    pub fn number() -> u64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is told its seed by whoever runs it"
        )]
        let given = std::env::var("AO_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        given.unwrap_or_else(|| rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_nsec as u64)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// One of these, each as likely as the number beside it says.
    ///
    /// # Panics
    /// When all numbers are 0.
    pub fn one_of<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut at = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *choice,
            }
        }
        unreachable!("`at` was below the sum of all weights")
    }
}
