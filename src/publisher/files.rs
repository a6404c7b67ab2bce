//! The files of a ring's directory, as sources: those that appear are handed out, too, and those that take no events any
//! more are removed when everything in them has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sparkngin_core::feed::State;
use sparkngin_core::ring::{
    Configuration, Difference, Lease, Ledger, Origin, Ring, SubscriberBooks,
};

use crate::lines::{Level, Lines, Throttle};
use crate::source::Source;

/// Between two looks into the directory.
const PAUSE: Duration = Duration::from_millis(200);
/// At the start, a file that somebody holds alone is waited for so long: who leaves one holds it while the disk takes it.
const PATIENCE: Duration = Duration::from_secs(5);
/// And looked for this often.
const SOON: Duration = Duration::from_millis(10);
/// Between two lines about the same failure.
const REMIND: Duration = Duration::from_secs(60);

/// What is known of the directory.
pub struct Files {
    dir: PathBuf,
    configuration: Configuration,
    /// A file that its host cannot use: it goes when it is drained, though no newer one is there.
    unwanted: Option<u64>,
    next: Instant,
    /// Not all files are known yet: until then those that are held alone are waited for.
    patience: Option<Instant>,
    /// What is left alone and was told of, by number.
    told: BTreeMap<u64, Difference>,
    /// What could not be taken over.
    refused: BTreeSet<u64>,
    failed: Throttle,
    stuck: Throttle,
}

impl Files {
    /// The files of the directory in which this source lies.
    pub fn new(own: &Source, configuration: &Configuration, unwanted: bool) -> Files {
        let ring = own.reader.ring();
        Files {
            dir: ring.dir().to_owned(),
            configuration: configuration.clone(),
            unwanted: unwanted.then(|| ring.number()),
            next: Instant::now(),
            patience: Some(Instant::now() + PATIENCE),
            told: BTreeMap::new(),
            refused: BTreeSet::new(),
            failed: Throttle::new(REMIND),
            stuck: Throttle::new(REMIND),
        }
    }

    /// Looks into the directory, if it is time; whether there are other sources now.
    pub fn turn(
        &mut self,
        sources: &mut Vec<Source>,
        lease: &Lease,
        now: Instant,
        lines: &Lines,
    ) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + if self.complete() { PAUSE } else { SOON };
        tell_of_removed(sources);
        let found = self.find(sources, lease, now, lines);
        judge(sources, lines);
        let removed = self.remove(sources, now, lines);
        found || removed
    }

    /// Whether each file is known, or was waited for in vain. Before that no subscriber can be told which there are, and of
    /// what it is not told it forgets its place.
    pub fn complete(&self) -> bool {
        self.patience.is_none()
    }

    /// How long to wait for the next look, while not all are known.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.patience.map(|_| self.next.saturating_duration_since(now))
    }

    /// Notes which files are held alone, if that is known, while it matters.
    fn wait_for(&mut self, busy: Option<&[u64]>, now: Instant, lines: &Lines) {
        let Some(until) = self.patience else { return };
        let all = busy.is_some_and(<[u64]>::is_empty);
        if !all && now < until {
            return;
        }
        self.patience = None;
        for number in busy.unwrap_or_default() {
            let long = PATIENCE.as_secs();
            let text = format!(
                "ring.{number} was held by one process alone for {long} s: it is handed out when it is let go"
            );
            lines.say(Level::Warn, text);
        }
    }

    fn find(
        &mut self,
        sources: &mut Vec<Source>,
        lease: &Lease,
        now: Instant,
        lines: &Lines,
    ) -> bool {
        let is = |source: &Source, number| {
            source.number() == number && !source.reader.ring().is_removed()
        };
        let has = |number| sources.iter().any(|source| is(source, number));
        let found = Ring::find_all(&self.dir, |n| has(n) || self.refused.contains(&n));
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                if self.failed.pass(now).is_some() {
                    lines.say(Level::Error, format!("cannot look for ring files: {error}"));
                }
                self.wait_for(None, now, lines);
                return false;
            }
        };
        self.wait_for(Some(&found.busy), now, lines);
        let left = found.left_alone.iter().map(|left| (left.number, left.why)).collect();
        for (number, why) in &left {
            if self.told.get(number) != Some(why) {
                lines.say(Level::Warn, format!("ring.{number} is left alone: {why}"));
            }
        }
        self.told = left;
        let before = sources.len();
        for ring in found.rings {
            let number = ring.number();
            match Source::new(ring, lease, &self.configuration) {
                Ok(source) => {
                    source.tell_of_left(lines);
                    sources.push(source);
                }
                Err(error) => {
                    self.refused.insert(number);
                    lines.say(Level::Error, format!("ring.{number} cannot be drained: {error}"));
                }
            }
        }
        sources.sort_by_key(Source::number);
        sources.len() != before
    }

    /// Who publishes ends: nobody finds a file again whose name was removed. What is in it is counted as lost.
    pub fn bury(&mut self, sources: &mut Vec<Source>, lease: &Lease, now: Instant, lines: &Lines) {
        if !sources.iter().any(|source| source.reader.ring().is_removed()) {
            return;
        }
        tell_of_removed(sources);
        // What takes the events instead was perhaps made a moment ago.
        self.find(sources, lease, now, lines);
        let (gone, left) = std::mem::take(sources)
            .into_iter()
            .partition(|source: &Source| source.reader.ring().is_removed());
        *sources = left;
        for mut source in gone {
            let heir = newest(sources).map(|heir| &mut sources[heir].reader);
            let lost: Vec<String> = source
                .reader
                .bury(heir)
                .iter()
                .filter(|(_, events)| *events > 0)
                .map(|(name, events)| format!("{events} of \"{name}\""))
                .collect();
            if !lost.is_empty() {
                let (number, lost) = (source.number(), lost.join(", "));
                lines.say(
                    Level::Error,
                    format!(
                        "ring.{number} is gone with its events, since its name was removed and who published it ends: {lost} are lost"
                    ),
                );
            }
        }
    }

    /// Removes what is drained.
    fn remove(&mut self, sources: &mut Vec<Source>, now: Instant, lines: &Lines) -> bool {
        let newest = newest(sources).map(|n| &sources[n]);
        let enough = newest.is_some_and(|newest| newest.reader.ring().has_wrapped());
        let kept = newest.map(Source::number).filter(|n| Some(*n) != self.unwanted);
        let before = sources.len();
        let mut n = 0;
        while n < sources.len() {
            let mut source = sources.remove(n);
            let stays = Some(source.number()) == kept
                || !source.reader.drained(&source.scan, enough)
                || !self.removed(&mut source, sources, enough, now, lines);
            if stays {
                sources.insert(n, source);
                n += 1;
            }
        }
        sources.len() != before
    }

    /// Removes one that is drained, unless somebody uses it; the newest of the others carries its books on.
    fn removed(
        &mut self,
        source: &mut Source,
        others: &mut [Source],
        enough: bool,
        now: Instant,
        lines: &Lines,
    ) -> bool {
        let number = source.number();
        let carried = |other: &Source| other.reader.ring().carried_last();
        // Who published before may have been killed between the two: then its books are carried already.
        let done = others.iter().any(|other| carried(other) == number);
        let heir = newest(others).filter(|_| !done);
        // One whose books are carried goes before another's are: only the last one's number is known.
        if heir.is_some_and(|heir| others.iter().any(|o| o.number() == carried(&others[heir]))) {
            return false;
        }
        let said = farewell(source);
        let heir = heir.map(|heir| &mut others[heir].reader);
        match source.reader.remove_if_drained(enough, heir) {
            Ok(false) => false,
            Ok(true) => {
                lines.say(Level::Info, said);
                true
            }
            Err(error) => {
                if self.stuck.pass(now).is_some() {
                    let text = format!("ring.{number} is drained and cannot be removed: {error}");
                    lines.say(Level::Error, text);
                }
                false
            }
        }
    }
}

/// Gives up each file whose name was removed while it is used: nobody finds it when its users are gone. So another one takes
/// the events, and what is in it goes out while it can.
fn tell_of_removed(sources: &mut [Source]) {
    let removed = |source: &Source| source.reader.ring().is_removed();
    let count = sources.iter().filter(|source| removed(source)).count() as u64;
    for source in sources {
        if removed(source) && source.reader.ring().alive() {
            source.reader.give_up();
        }
        source.reader.note_removed(count);
    }
}

/// The newest file that takes events.
fn newest(sources: &[Source]) -> Option<usize> {
    sources.iter().rposition(|source| source.reader.ring().alive())
}

/// Notes which source takes new events, and says why the others do not.
fn judge(sources: &mut [Source], lines: &Lines) {
    let newest = newest(sources);
    let newer = newest.map(|n| sources[n].number());
    for (n, source) in sources.iter_mut().enumerate() {
        let state = if Some(n) == newest { State::Open } else { State::Draining };
        if state == State::Draining && !source.said {
            source.said = true;
            let (level, why) = reason(source.reader.ring(), newer);
            lines.say(level, format!("ring.{} is drained: {why}", source.number()));
        }
        source.state = state;
    }
}

fn reason(ring: &Ring, newer: Option<u64>) -> (Level, String) {
    let newer =
        newer.map_or("no other is there yet".to_owned(), |n| format!("ring.{n} takes the events"));
    match ring.origin() {
        _ if ring.is_removed() => {
            let why = "its name was removed while it is used, and what is in it is lost if nginx ends or reloads before it has gone out";
            (Level::Error, format!("{why}; {newer}"))
        }
        Origin::Earlier { clean: true } => {
            let why = "the machine was booted since, in order: nothing is missing";
            (Level::Info, format!("{why}; {newer}"))
        }
        Origin::Earlier { clean: false } => {
            let why = "the machine stopped without notice, and what may be missing is reported as uncertain";
            (Level::Warn, format!("{why}; {newer}"))
        }
        Origin::Here if ring.state().poisoned && ring.in_doubt() => {
            let why = "it is poisoned, who synced it was killed meanwhile and nobody else can tell how that sync ended";
            (Level::Warn, format!("{why}; {newer}"))
        }
        Origin::Here if ring.state().poisoned => {
            let why =
                "it is poisoned, a sync of it failed or a record in it is broken: look at the disk";
            (Level::Error, format!("{why}; {newer}"))
        }
        Origin::Here => (Level::Info, newer),
    }
}

/// What is said of a file that goes: its books.
fn farewell(source: &Source) -> String {
    let ring = source.reader.ring();
    let ledger = Ledger::read(ring);
    let books = |held: &SubscriberBooks| {
        let (name, books) = (&held.name, &held.books);
        let open =
            if books.uncertain_open { ", and perhaps more at the end of a stream" } else { "" };
        format!(
            ", of which \"{name}\" has {}, {} lost, {} dead-lettered, {} uncertain{open}",
            books.delivered, books.lost, books.dead, books.uncertain
        )
    };
    let named: String = ledger.subscribers.iter().filter(|s| s.active).map(books).collect();
    let (number, region, committed) = (source.number(), ring.region(), ledger.committed);
    format!("ring.{number} is drained and removed: region {region}, {committed} events{named}")
}
