//! A heap whose user dies before a step, and which knows what a disk may hold of it when the machine stops.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::ring::layout::At;
use crate::ring::memory::{Heap, Memory};

/// What a disk writes whole, in words.
const SECTOR: usize = 512 / 8;

/// The memory. A step is an access that writes: to die before one that reads is the same as before the next of these.
pub struct Dying {
    pub heap: Heap,
    steps: Cell<u64>,
    dies_at: Cell<u64>,
    synced: RefCell<Vec<u64>>,
    /// Every store since the last sync.
    since: RefCell<Vec<(usize, u64)>>,
}

struct Died;

impl Dying {
    pub fn new(words: usize) -> Dying {
        Dying {
            heap: Heap::new(words),
            steps: Cell::new(0),
            dies_at: Cell::new(u64::MAX),
            synced: RefCell::new(vec![0; words]),
            since: RefCell::default(),
        }
    }

    fn step(&self) {
        if self.steps.get() == self.dies_at.get() {
            self.dies_at.set(u64::MAX);
            resume_unwind(Box::new(Died));
        }
        self.steps.set(self.steps.get() + 1);
    }

    fn dies_before(&self, step: Option<u64>) {
        self.steps.set(0);
        self.dies_at.set(step.unwrap_or(u64::MAX));
    }

    /// All that was stored is on the disk.
    pub fn sync(&self) {
        let mut synced = self.synced.borrow_mut();
        for (at, value) in self.since.borrow_mut().drain(..) {
            synced[at] = value;
        }
    }

    /// What the disk may show: of each sector that was written to, the stores up to one of them. `below` draws a number
    /// below another one.
    pub fn image(&self, mut below: impl FnMut(u64) -> u64) -> Heap {
        let image = Heap::new(self.synced.borrow().len());
        for (at, value) in self.synced.borrow().iter().enumerate() {
            image.store(At(at), *value);
        }
        let mut sectors: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
        for (at, value) in self.since.borrow().iter() {
            sectors.entry(at / SECTOR).or_default().push((*at, *value));
        }
        for stores in sectors.values() {
            let kept = match below(3) {
                0 => 0,
                1 => stores.len(),
                _ => below(stores.len() as u64 + 1) as usize,
            };
            stores[..kept].iter().for_each(|(at, value)| image.store(At(*at), *value));
        }
        image
    }
}

impl Memory for Dying {
    fn load(&self, at: At) -> u64 {
        self.heap.load(at)
    }

    fn store(&self, at: At, value: u64) {
        self.step();
        self.heap.store(at, value);
        self.since.borrow_mut().push((at.0, value));
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        self.step();
        let done = self.heap.swap(at, seen, new);
        if done {
            self.since.borrow_mut().push((at.0, new));
        }
        done
    }

    fn fence(&self) {
        self.heap.fence();
    }
}

/// Does something with a memory's owner that dies before its step number `step`. None when it died.
pub fn dying<S, T>(
    owner: &mut S,
    memory: fn(&S) -> &Dying,
    step: Option<u64>,
    act: impl FnOnce(&mut S) -> T,
) -> Option<T> {
    memory(owner).dies_before(step);
    let done = catch_unwind(AssertUnwindSafe(|| act(owner)));
    memory(owner).dies_before(None);
    match done {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<Died>() => None,
        Err(cause) => resume_unwind(cause),
    }
}
