//! The terminal: keys as they are typed, a screen of its own, and everything as it was when this is dropped.

use std::io::{self, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Of a terminal that does not say its size.
const USUAL: (usize, usize) = (80, 24);

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `q`, or Ctrl-C.
    Leave,
}

/// The terminal, while it is ours.
pub struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Takes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open() -> io::Result<Terminal> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        // A key, or nothing within a tenth of a second.
        modes.special_codes[SpecialCodeIndex::VMIN] = 0;
        modes.special_codes[SpecialCodeIndex::VTIME] = 1;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        let terminal = Terminal { before };
        write("\x1b[?1049h\x1b[?25l")?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            _ => USUAL,
        }
    }

    /// Shows these lines, in place of what was there.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }

    /// Waits for a key, a tenth of a second at most.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn key(&mut self) -> io::Result<Option<Key>> {
        let mut typed = [0; 16];
        let typed = match io::stdin().lock().read(&mut typed) {
            Ok(n) => &typed[..n],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => &[],
            Err(error) => return Err(error),
        };
        let leaves = typed.iter().any(|byte| matches!(byte, b'q' | b'Q' | 3));
        Ok(leaves.then_some(Key::Leave))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where it is gone there is nothing to give back.
        let _ = write("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
