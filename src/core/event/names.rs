//! Which custom names an event has already: few are compared one by one, many through a table, so that thousands of
//! parameters cost no more each than one does.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::Named;

/// Up to so many are compared one by one.
const FEW: usize = 16;

/// A table of the names, made when there are more than a few. Its hash is keyed at random: nobody can choose names that
/// fall together.
#[derive(Default)]
pub struct Names {
    /// So many fields are the place's, and stand before the client's.
    given: usize,
    table: Option<(RandomState, HashMap<u64, u32>)>,
}

impl Names {
    /// No name of the client's yet, beside so many that the place has given.
    pub fn beside(given: usize) -> Names {
        Names { given, table: None }
    }

    /// How many of the fields are the client's.
    pub fn own(&self, fields: &[Named<'_>]) -> usize {
        fields.len().saturating_sub(self.given)
    }

    /// Whether there is a field of this name.
    pub fn contains(&mut self, name: &[u8], fields: &[Named<'_>], text: &[u8]) -> bool {
        let is = |field: &Named<'_>| field.name.of(text) == name;
        if fields.len() <= FEW {
            return fields.iter().any(is);
        }
        let (state, table) = self.table.get_or_insert_with(|| {
            let state = RandomState::new();
            let hash = |field: &Named<'_>| state.hash_one(field.name.of(text));
            let table = fields.iter().enumerate().map(|(at, field)| (hash(field), at as u32));
            let table = table.collect();
            (state, table)
        });
        match table.get(&state.hash_one(name)).and_then(|at| fields.get(*at as usize)) {
            None => false,
            // Two names of one hash: rare enough to look at all.
            Some(field) => is(field) || fields.iter().any(is),
        }
    }

    /// Notes the field that was just added, the last of `fields`.
    pub fn add(&mut self, fields: &[Named<'_>], text: &[u8]) {
        if let (Some((state, table)), Some(field)) = (&mut self.table, fields.last()) {
            table.entry(state.hash_one(field.name.of(text))).or_insert(fields.len() as u32 - 1);
        }
    }
}
