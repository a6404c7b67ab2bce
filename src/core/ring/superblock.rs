//! What a ring file says it is: written once, before the file has its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::layout::{Geometry, Layout, MAGIC, SUPERBLOCK_WORDS, VERSION};
use crate::id::Region;

/// A boot of this machine, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boot(pub u128);

/// The superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub geometry: Geometry,
    pub region: Region,
    pub boot: Boot,
    pub inode: u64,
    /// ns since 1970.
    pub made: u64,
}

/// Why a file's superblock cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strange {
    /// It is no ring.
    NotARing,
    /// Its end is missing: the bytes that it says it has, and those that are there.
    Short { says: u64, has: u64 },
    /// It is one of another layout.
    Layout(u64),
}

impl Boot {
    /// This boot.
    pub fn current() -> io::Result<Boot> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let digits = text.trim().replace('-', "");
        u128::from_str_radix(&digits, 16)
            .map(Boot)
            .map_err(|_| io::Error::other("the kernel's boot id cannot be read"))
    }
}

impl Superblock {
    /// Writes it to a file that nobody else knows yet.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let Geometry { blocks, block_bytes, slots } = self.geometry;
        let (region, boot) = (self.region.0, self.boot.0);
        let mut words = [0u64; SUPERBLOCK_WORDS];
        words[..12].copy_from_slice(&[
            MAGIC,
            VERSION,
            Layout::new(self.geometry).bytes(),
            block_bytes.into(),
            blocks.into(),
            slots.into(),
            region as u64,
            (region >> 64) as u64,
            boot as u64,
            (boot >> 64) as u64,
            self.inode,
            self.made,
        ]);
        words[SUPERBLOCK_WORDS - 1] = crc(&words);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        file.write_all_at(&bytes, 0)
    }

    /// Reads it; the file is at least as long as it says.
    pub fn read(file: &File) -> io::Result<Result<Superblock, Strange>> {
        let mut bytes = [0; SUPERBLOCK_WORDS * 8];
        match file.read_exact_at(&mut bytes, 0) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Err(Strange::NotARing));
            }
            other => other?,
        }
        let length = file.metadata()?.size();
        Ok(Superblock::parse(&bytes, length))
    }

    fn parse(bytes: &[u8; SUPERBLOCK_WORDS * 8], length: u64) -> Result<Superblock, Strange> {
        let mut words = [0u64; SUPERBLOCK_WORDS];
        for (word, le) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = le.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        }
        if words[0] != MAGIC {
            return Err(Strange::NotARing);
        }
        if words[1] != VERSION {
            return Err(Strange::Layout(words[1]));
        }
        if words[SUPERBLOCK_WORDS - 1] != crc(&words) {
            return Err(Strange::NotARing);
        }
        let narrow = |n: u64| u32::try_from(n).map_err(|_| Strange::NotARing);
        let slots = u16::try_from(words[5]).map_err(|_| Strange::NotARing)?;
        let geometry =
            Geometry { block_bytes: narrow(words[3])?, blocks: narrow(words[4])?, slots };
        if geometry.fault().is_some() {
            return Err(Strange::NotARing);
        }
        let bytes = Layout::new(geometry).bytes();
        if bytes != words[2] {
            return Err(Strange::NotARing);
        }
        if bytes > length {
            return Err(Strange::Short { says: bytes, has: length });
        }
        let wide = |low: usize| u128::from(words[low + 1]) << 64 | u128::from(words[low]);
        Ok(Superblock {
            geometry,
            region: Region(wide(6)),
            boot: Boot(wide(8)),
            inode: words[10],
            made: words[11],
        })
    }
}

fn crc(words: &[u64; SUPERBLOCK_WORDS]) -> u64 {
    let before = words[..SUPERBLOCK_WORDS - 1].iter();
    before.fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes())).into()
}
