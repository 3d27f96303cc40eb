//! Chance with a seed that is printed, so that a failure can be run again.

/// A small generator (splitmix64): the same seed gives the same numbers for ever.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// From `AO_TEST_SEED`, else from the clock; printed under `what`.
    pub fn printed(what: &str) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is told its seed by whoever runs it"
        )]
        let given = std::env::var("AO_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given
            .unwrap_or_else(|| rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_nsec as u64);
        println!("{what}: AO_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
