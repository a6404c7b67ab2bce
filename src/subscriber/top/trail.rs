//! How it was going: what a total did between two looks, as events a second.

use std::collections::VecDeque;
use std::time::Instant;

use super::Seen;

/// So many looks are remembered.
const KEPT: usize = 30;
/// From little to much.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last rates.
#[derive(Debug, Default)]
pub struct Trail {
    last: Option<(String, u64, Instant)>,
    rates: VecDeque<f64>,
}

impl Trail {
    /// Notes a look.
    pub fn note(&mut self, seen: &Seen, now: Instant) {
        // Of which file, or process, this is the total.
        let total = match seen {
            Seen::Nginx(Ok(nginx)) => nginx.committed.clone(),
            Seen::Subscriber(Ok(subscriber)) => Some((String::new(), subscriber.delivered)),
            _ => None,
        };
        let before = self.last.take();
        let Some((of, total)) = total else { return };
        if let Some((same, last, then)) = before
            && same == of
            && total >= last
        {
            let seconds = now.duration_since(then).as_secs_f64();
            self.rates.push_back((total - last) as f64 / seconds.max(0.001));
            if self.rates.len() > KEPT {
                self.rates.pop_front();
            }
        }
        self.last = Some((of, total, now));
    }

    /// The last rate, events a second.
    pub fn rate(&self) -> Option<f64> {
        self.rates.back().copied()
    }

    /// The rates as bars, the highest one full; nothing before there are two.
    pub fn bars(&self) -> String {
        if self.rates.len() < 2 {
            return String::new();
        }
        let most = self.rates.iter().copied().fold(0.0, f64::max);
        let bar = |rate: &f64| match most {
            0.0 => BARS[0],
            most => BARS[((rate / most * 7.0).round() as usize).min(7)],
        };
        self.rates.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::figures::Nginx;

    #[test]
    fn rates_are_of_one_file_and_what_does_not_answer_leaves_a_gap() {
        let (mut trail, start) = (Trail::default(), Instant::now());
        let mut second = 0;
        let mut note = |seen: Option<(&str, u64)>| {
            let committed = seen.map(|(of, total)| (of.to_owned(), total));
            let nginx = committed.map(|it| Nginx { committed: Some(it), ..Nginx::default() });
            trail.note(
                &Seen::Nginx(nginx.ok_or_else(String::new)),
                start + Duration::from_secs(second),
            );
            second += 1;
            (trail.rate(), trail.bars())
        };
        assert_eq!(note(Some(("a", 10))), (None, String::new()));
        assert_eq!(note(Some(("a", 17))), (Some(7.0), String::new()));
        assert_eq!(note(Some(("a", 17))), (Some(0.0), "█▁".to_owned()));
        assert_eq!(note(Some(("b", 900))).0, Some(0.0), "another file's total says nothing");
        note(None);
        assert_eq!(note(Some(("b", 990))).0, Some(0.0));
        assert_eq!(note(Some(("b", 997))), (Some(7.0), "█▁█".to_owned()));
    }
}
