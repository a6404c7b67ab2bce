//! What a binary of nginx, or a module's, was built for: the line of digits that nginx compares when it loads a module.

use std::io;
use std::path::Path;

use regex::bytes::Regex;

/// The first one in a file, as `8,4,8,0011111111...`. None where there is none.
///
/// # Errors
/// What the system says.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    let bytes = std::fs::read(path)?;
    // Sizes of a pointer, of sig_atomic_t and time_t; then a digit for each option that changes nginx's structures.
    let Ok(form) = Regex::new("(?-u)[48],[48],[48],[01]{24,64}") else { return Ok(None) };
    let found = form.find(&bytes);
    Ok(found.map(|found| String::from_utf8_lossy(found.as_bytes()).into_owned()))
}
