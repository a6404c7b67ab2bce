//! Another nginx on the same directory. Both may write there, but the ring has one policy and one list of subscribers: those
//! of whichever was configured last. So each of them says that the other one is there.

use std::path::PathBuf;

use sparkngin_core::ring::{Server, Tenant};

use crate::log::{Level, line};

/// Between two looks, ms.
const PAUSE: u64 = 1000;

/// One worker's part: it says that its nginx uses the directory, and the first one tells of others.
pub struct Neighbours {
    dir: PathBuf,
    own: Server,
    tells: bool,
    tenant: Option<Tenant>,
    told: Vec<Server>,
    next: u64,
}

impl Neighbours {
    /// Nothing is held yet. One worker of each nginx `tells`.
    pub fn new(dir: PathBuf, own: Server, tells: bool) -> Neighbours {
        Neighbours { dir, own, tells, tenant: None, told: Vec::new(), next: 0 }
    }

    /// One look. What the directory refuses here it has refused the ring, too, which says so.
    pub fn turn(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        self.next = now + PAUSE;
        self.tenant.take_if(|tenant| tenant.is_removed());
        if self.tenant.is_none() {
            self.tenant = Tenant::enter(&self.dir, &self.own).unwrap_or_default();
        }
        if !self.tells {
            return;
        }
        let Ok(others) = self.others() else { return };
        for other in others.iter().filter(|other| !self.told.iter().any(|told| told.is(other))) {
            let place = if other.is_beside(&self.own) { "" } else { " of another container" };
            line(
                Level::Warn,
                format_args!(
                    "another nginx{place} uses this ring's directory, {other}: each replaces the other's subscribers and \
                     overflow policy, give each a \"sparkngin_buf_path\" of its own"
                ),
            );
        }
        for told in self.told.iter().filter(|told| !others.iter().any(|other| other.is(told))) {
            line(
                Level::Notice,
                format_args!("the other nginx uses this ring's directory no longer, {told}"),
            );
        }
        self.told = others;
    }

    fn others(&self) -> std::io::Result<Vec<Server>> {
        let all = Tenant::all(&self.dir)?;
        Ok(all.into_iter().filter(|who| !who.is(&self.own)).collect())
    }
}
