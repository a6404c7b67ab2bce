//! A directory of a test's own.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Empty at first; gone with this value, also when the test fails.
pub struct Scratch(PathBuf);

impl Scratch {
    /// `name` is that of no other directory of this process.
    pub fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("sparkngin-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
