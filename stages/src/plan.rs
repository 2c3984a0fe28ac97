//! What one delivery leads to.

/// What became of a frame's rows: `input rows = consumed + quarantined + repeated + filtered`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that went on, or led to rows that did.
    pub consumed: u64,
    /// Rows that were refused and kept with the reason.
    pub quarantined: u64,
    /// Rows that had been seen before.
    pub repeated: u64,
    /// Rows that the config leaves out.
    pub filtered: u64,
    /// Rows that came out, counted apart.
    pub produced: u64,
    /// Rows that came after the watermark: a mark, not a fate.
    pub late: u64,
}
