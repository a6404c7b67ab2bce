//! Numbers as text, without the formatter: on the way of every event.

/// The digits of base 16.
pub const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `00` to `99` in a row.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut at = 0;
    while at < 100 {
        pairs[2 * at] = b'0' + (at / 10) as u8;
        pairs[2 * at + 1] = b'0' + (at % 10) as u8;
        at += 1;
    }
    pairs
};

/// A number's decimal digits, in the caller's 20 bytes.
pub fn decimal(number: u64, space: &mut [u8; 20]) -> &[u8] {
    let (mut at, mut rest) = (space.len(), number);
    while rest >= 10 {
        let pair = (rest % 100) as usize;
        rest /= 100;
        at -= 2;
        space[at..at + 2].copy_from_slice(&PAIRS[2 * pair..2 * pair + 2]);
    }
    // An odd digit is left, or nothing; of 0 to 9 the only one.
    if rest > 0 || at == space.len() {
        at -= 1;
        space[at] = b'0' + rest as u8;
    }
    &space[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_that_the_formatter_gives_it() {
        let near = (0..20).flat_map(|n| (0..5).map(move |d| (10_u64.pow(n) + d).wrapping_sub(2)));
        for number in (0..1100).chain(near).chain([u64::MAX, u64::MAX / 7]) {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
