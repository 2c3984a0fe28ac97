//! How large frames come out of what is buffered for them.

/// What a ratio is counted in: encoded bytes for so many buffered ones.
const ONE: usize = 1 << 16;
/// Smaller frames say nothing: their header weighs too much.
const ENCODED_BYTES_MIN: usize = 48 << 10;
/// How much of a difference the next frame follows, where frames become smaller. A larger one is followed at once: a frame
/// that is a little too small costs little, one that is too large becomes two.
const SMOOTHING: usize = 4;
/// What is left free is one part of so many, for frames that come out larger than the last ones.
const MARGIN: usize = 32;

/// What is learnt of the frames of a slot.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Scale {
    ratio: Option<usize>,
}

impl Scale {
    /// A frame of so many bytes came of so many buffered ones.
    pub(super) fn learn(&mut self, buffered: usize, encoded: usize) {
        if encoded < ENCODED_BYTES_MIN {
            return;
        }
        let seen = (encoded.saturating_mul(ONE) / buffered.max(1)).max(1);
        self.ratio = Some(match self.ratio {
            Some(ratio) if seen < ratio => ratio - (ratio - seen) / SMOOTHING,
            _ => seen,
        });
    }

    /// How many bytes may be buffered for a frame that is to take so many. As long as nothing is known, they are not taken to
    /// become less.
    pub(super) fn buffered(self, encoded: usize) -> usize {
        (encoded - encoded / MARGIN).saturating_mul(ONE) / self.ratio.unwrap_or(ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 784_812;

    #[test]
    fn the_first_frame_is_guessed_low_and_the_next_are_full() {
        let mut scale = Scale::default();
        assert!(scale.buffered(FULL) < FULL);
        scale.learn(600_000, 200_000);
        let third = scale.buffered(FULL);
        assert!((2_250_000..2_354_436).contains(&third), "{third}");
        scale.learn(2_300, 2_000);
        assert_eq!(scale.buffered(FULL), third, "a small frame says nothing");
    }

    #[test]
    fn frames_that_become_larger_are_followed_at_once_and_smaller_ones_slowly() {
        let mut scale = Scale::default();
        scale.learn(1_000_000, 500_000);
        scale.learn(1_000_000, 750_000);
        assert!(scale.buffered(FULL) * 3 / 4 < FULL);
        let mut before = scale.buffered(FULL);
        for _ in 0..3 {
            scale.learn(1_000_000, 500_000);
            let now = scale.buffered(FULL);
            assert!(now > before && now / 2 < FULL, "{now}");
            before = now;
        }
    }

    #[test]
    fn nothing_that_is_learnt_divides_by_nothing() {
        let mut scale = Scale::default();
        scale.learn(0, usize::MAX);
        scale.learn(usize::MAX, 50_000);
        assert!(scale.buffered(FULL) > 0 || scale.ratio > Some(ONE));
    }
}
