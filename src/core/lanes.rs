//! Sixteen bytes of a text at once: which of them are what is sought.

use wide::u8x16;

/// Bytes that are looked at in one step.
pub const LANES: usize = 16;

/// Which of [`LANES`] bytes are sought: a bit of each, that of the first is the lowest.
pub type Marks = u32;

/// The bytes that are one of `these`.
#[inline]
pub fn among<const N: usize>(bytes: &[u8; LANES], these: [u8; N]) -> Marks {
    let lanes = u8x16::new(*bytes);
    these
        .map(|byte| lanes.cmp_eq(u8x16::splat(byte)))
        .into_iter()
        .reduce(|a, b| a | b)
        .map_or(0, marks)
}

/// The bytes that are one of `these`, or a control character (below 20 hex).
#[inline]
pub fn among_or_control<const N: usize>(bytes: &[u8; LANES], these: [u8; N]) -> Marks {
    let lanes = u8x16::new(*bytes);
    let control = lanes.min(u8x16::splat(0x1F)).cmp_eq(lanes);
    marks(these.into_iter().fold(control, |marked, byte| marked | lanes.cmp_eq(u8x16::splat(byte))))
}

#[inline]
fn marks(lanes: u8x16) -> Marks {
    lanes.move_mask() as Marks
}
