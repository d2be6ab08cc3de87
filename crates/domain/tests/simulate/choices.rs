//! Where all chance of a simulated schedule comes from: a seed, or the recorded choices of an earlier run,
//! which can be shortened until nothing superfluous is left.

/// A source of choices that remembers what it gave.
pub(crate) struct Choices {
    state: u64,
    replay: Option<Vec<u32>>,
    pub(crate) taken: Vec<u32>,
}

impl Choices {
    /// Begins from a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed, replay: None, taken: Vec::new() }
    }

    /// Gives recorded choices again, and zeros after them.
    pub(crate) fn replayed(choices: Vec<u32>) -> Self {
        Self { state: 0, replay: Some(choices), taken: Vec::new() }
    }

    /// Returns a number below `bound`; 0 is the plainest.
    pub(crate) fn pick(&mut self, bound: usize) -> usize {
        let raw = match &self.replay {
            Some(choices) => choices.get(self.taken.len()).copied().unwrap_or(0),
            None => {
                // SplitMix64: fast, and good enough for choices.
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                u32::try_from((z ^ (z >> 31)) >> 32).unwrap()
            }
        };
        self.taken.push(raw);
        usize::try_from(raw).unwrap() % bound.max(1)
    }

    /// Returns true so many times in a hundred; a choice of 0 is false.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.pick(100) >= 100 - percent
    }
}

/// Shortens choices for as long as the run still fails.
pub(crate) fn shrink(mut choices: Vec<u32>, fails: impl Fn(&[u32]) -> bool) -> Vec<u32> {
    let mut budget = 5_000;
    let mut progress = true;
    while progress && budget > 0 {
        progress = false;
        let mut length = choices.len();
        while length > 0 {
            let mut from = 0;
            while from + length <= choices.len() && budget > 0 {
                let cut = [&choices[..from], &choices[from + length..]].concat();
                let mut plain = choices.clone();
                plain[from..from + length].fill(0);
                let try_next = [cut, plain];
                let better = try_next.into_iter().find(|next| {
                    budget -= 1;
                    *next != choices && fails(next)
                });
                match better {
                    Some(next) => {
                        choices = next;
                        progress = true;
                    }
                    None => from += length,
                }
            }
            length /= 2;
        }
    }
    choices
}
