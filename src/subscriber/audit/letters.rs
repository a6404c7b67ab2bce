//! Dead letters -> the books: an event that Kafka refused, or a hole that the subscriber was told of.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use sparkngin_core::id::EventId;

use super::books::Books;
use crate::letter::Told;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Events.
    pub events: u64,
    /// Holes.
    pub holes: u64,
}

/// Of a line only this counts.
#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    hole: Option<String>,
}

/// Adds one letter or note, by the texts that say which event, or which hole, it is.
pub fn add(id: Option<&str>, hole: Option<&str>, books: &mut Books, found: &mut Found) {
    if let Some(told) = hole.and_then(|text| text.parse::<Told>().ok()) {
        books.hole((told.region, told.stream), told.hole, (told.from.0, told.to.0));
        found.holes += 1;
    } else if let Some(id) = id.and_then(|text| text.parse::<EventId>().ok()) {
        books.letter(id);
        found.events += 1;
    }
}

/// Adds all letters of a file. A line that is none is passed over: a machine that went down leaves half a line.
///
/// # Errors
/// What the system says.
pub fn read_file(path: &Path, books: &mut Books) -> io::Result<Found> {
    let mut found = Found::default();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let Ok(line) = serde_json::from_slice::<Line>(&line?) else { continue };
        add(line.id.as_deref(), line.hole.as_deref(), books, &mut found);
    }
    Ok(found)
}
