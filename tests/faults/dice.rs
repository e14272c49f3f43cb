//! Choices that can be repeated.

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    /// From `PMON_SEED`, else from the clock; printed.
    pub fn new(what: &str) -> Dice {
        let given = std::env::var("PMON_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos()) ^ now.as_secs()
        };
        let seed = given.unwrap_or_else(clock);
        println!("{what}: PMON_SEED={seed}");
        eprintln!("{what}: PMON_SEED={seed}");
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Puts them in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for left in (1..items.len()).rev() {
            items.swap(left, usize::try_from(self.below(left as u64 + 1)).unwrap());
        }
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}
