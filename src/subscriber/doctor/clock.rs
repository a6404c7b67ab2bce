//! The machine's clock: events carry the time of their receipt, so it must be right. The kernel knows whether somebody keeps
//! it so, be that chrony, ntpd or systemd-timesyncd.

use std::io;

use crate::args::doctor::Area;

use super::finding::Findings;

const AREA: Area = Area::Clock;

/// Looks.
pub fn look(findings: &mut Findings) {
    match synchronised() {
        Ok(true) => findings.ok(AREA, "the clock is synchronised"),
        Ok(false) => {
            let found = "nobody keeps the clock right (the kernel calls it unsynchronised): the times of events and their delays are as wrong as it is";
            findings.warn(
                AREA,
                found,
                "run chrony or systemd-timesyncd; in a container, on its host",
            );
        }
        Err(error) => {
            let found = format!("the kernel does not say whether the clock is right: {error}");
            findings.warn(
                AREA,
                found,
                "look at it from outside, by `chronyc tracking` or `timedatectl`",
            );
        }
    }
}

/// Whether the kernel takes the clock for synchronised.
fn synchronised() -> io::Result<bool> {
    // SAFETY: a timex has only numbers, for which zeros are values; modes 0 of them asks and changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one timex to this address, which is this function's own until it returns.
    let told = unsafe { libc::adjtimex(&raw mut state) };
    match told {
        -1 => Err(io::Error::last_os_error()),
        told => Ok(told != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0),
    }
}
