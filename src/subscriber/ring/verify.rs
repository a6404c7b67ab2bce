//! `sparkngin ring verify FILE|DIR`: whether files are whole, and what is wrong where.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sparkngin_core::ring::{Verified, verify};

use super::readable;

/// Looks at one file, or at each ring's file of a directory.
///
/// # Errors
/// A sentence: something is wrong in one of them, or it cannot be read.
pub fn run(path: &Path, json: bool) -> Result<(), String> {
    let files = files(path).map_err(|error| error.to_string())?;
    if files.is_empty() {
        return Err(format!("no ring in {}", path.display()));
    }
    let mut out = io::stdout().lock();
    let mut flaws = 0;
    for file in files {
        let found = verify(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        flaws += found.flaws.len();
        let text = if json { line(&file, &found) } else { lines(&file, &found) };
        match out.write_all(text.as_bytes()) {
            // Who reads along has had enough: `| head`.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(error.to_string());
            }
            _ => {}
        }
    }
    match flaws {
        0 => Ok(()),
        1 => Err("1 flaw".to_owned()),
        _ => Err(format!("{flaws} flaws")),
    }
}

/// The file, or what a directory has by the name `ring.<n>`.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    readable(path)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix("ring."));
        if let Some(number) = number.and_then(|digits| digits.parse::<u64>().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn lines(file: &Path, found: &Verified) -> String {
    let file = file.display();
    let mut text = match found.region {
        Some(region) => {
            format!("{file}: region {region}, {} records in {} blocks", found.records, found.blocks)
        }
        None => file.to_string(),
    };
    text += if found.flaws.is_empty() { ": whole\n" } else { ": NOT WHOLE\n" };
    for note in &found.notes {
        text += &format!("  note: {note}\n");
    }
    for flaw in &found.flaws {
        text += &format!("  {}, at byte {}: {}\n", flaw.place, flaw.offset, flaw.what);
    }
    text
}

fn line(file: &Path, found: &Verified) -> String {
    let flaw = |flaw: &sparkngin_core::ring::Flaw| json!({"place": flaw.place, "offset": flaw.offset, "what": flaw.what});
    let object = json!({
        "file": file.display().to_string(),
        "region": found.region.map(|region| region.to_string()),
        "blocks": found.blocks,
        "records": found.records,
        "whole": found.flaws.is_empty(),
        "notes": found.notes,
        "flaws": found.flaws.iter().map(flaw).collect::<Vec<_>>(),
    });
    format!("{object}\n")
}
