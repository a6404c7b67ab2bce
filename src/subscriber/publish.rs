//! `sparkngin publish`: the publisher's thread in a process of its own. nginx only fills the ring then (`sparkngin_listen
//! off`), and may be killed, upgraded or stopped while the ring is drained.
//!
//! Who publishes is decided as among nginx's workers: by the lease, of which there is one, and the newest configuration
//! has it. So another `sparkngin publish` for the same directory takes over, and the one before stands by.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;
use sparkngin_core::ring::{Bid, Candidate, Lease, Ring, Vacancy};
use sparkngin_publisher::{Handle, Level, Settings, start, start_draining};

use crate::Failed;
use crate::args::Publish;
use crate::log;
use crate::publish_settings;
use crate::socket::poll_fd;
use crate::subscribe::{flag_on, stop_on_signals};
use crate::wake::{self, Wakes};

/// Between two looks at the publisher that runs here, or at the lease that somebody else has.
const LOOK: Duration = Duration::from_millis(100);
/// How long an older configuration is seen to publish before this one bids: who has just taken the lease writes its own
/// down a moment later.
const PATIENCE: Duration = Duration::from_millis(200);

/// The host of the publisher.
struct Host {
    dir: PathBuf,
    settings: Settings,
    publisher: Option<Handle>,
    bid: Option<Bid>,
    /// Since when somebody was seen to publish by an older configuration.
    older: Option<Instant>,
    vacancy: Vacancy,
    began: Instant,
    /// What is waited for, as it was said last.
    said: String,
}

/// Publishes until TERM or INT. HUP has it read the key files again.
///
/// # Errors
/// What is wrong on the command line or with the directory, or the system refuses.
pub fn run(args: &Publish) -> Result<(), Failed> {
    let wrong = |error: crate::word::Wrong| Failed::Wrong(error.to_string());
    let settings = publish_settings::read(args).map_err(wrong)?;
    let system = |error: io::Error| Failed::Other(error.to_string());
    let _log = log::begin(&crate::config::form(&args.log).map_err(wrong)?).map_err(system)?;
    let (waker, mut wakes) = wake::pair().map_err(system)?;
    let stop: Arc<AtomicBool> = stop_on_signals(&waker).map_err(system)?;
    let again = flag_on(&[SIGHUP], &waker).map_err(system)?;
    let mut host = Host::new(args.dir.clone(), settings);
    while !stop.load(Ordering::Relaxed) {
        if again.swap(false, Ordering::Relaxed) {
            match publish_settings::read(args) {
                Ok(settings) => host.again(settings),
                Err(error) => tracing::error!("HUP: {error}; what was read before is used on"),
            }
        }
        host.turn()?;
        pause(&mut wakes).map_err(system)?;
    }
    host.end();
    Ok(())
}

fn pause(wakes: &mut Wakes) -> io::Result<()> {
    let mut items = [poll_fd(wakes.as_raw_fd())];
    match zmq::poll(&mut items, LOOK.as_millis() as i64) {
        Ok(_) | Err(zmq::Error::EINTR) => {}
        Err(error) => return Err(io::Error::other(error.message())),
    }
    wakes.clear();
    Ok(())
}

impl Host {
    fn new(dir: PathBuf, settings: Settings) -> Host {
        Host {
            dir,
            settings,
            publisher: None,
            bid: None,
            older: None,
            vacancy: Vacancy::default(),
            began: Instant::now(),
            said: String::new(),
        }
    }

    /// Goes on with settings that were just read, as over a reload of nginx: they are the newest configuration.
    fn again(&mut self, settings: Settings) {
        tracing::info!("HUP: the key files are read again");
        self.end();
        self.settings = settings;
        self.older = None;
    }

    /// Looks after the publisher, or tries to become it.
    fn turn(&mut self) -> Result<(), Failed> {
        if let Some(publisher) = &self.publisher {
            tell(publisher.lines());
            if publisher.is_finished() {
                self.end();
                self.say("another one publishes by a newer configuration: standing by");
            }
            return Ok(());
        }
        self.check_owner()?;
        match self.ring() {
            Ok(Some(ring)) => self.lead(ring),
            Ok(None) => {
                let text = format!("waiting: there is no ring in {} yet", self.dir.display());
                self.say(&format!("{text}, nginx makes it"));
            }
            Err(why) => self.say(&format!("waiting: {why}")),
        }
        Ok(())
    }

    /// What this process makes in the directory must be nginx's to use.
    fn check_owner(&self) -> Result<(), Failed> {
        let (Ok(dir), Ok(own)) = (fs::metadata(&self.dir), fs::metadata("/proc/self")) else {
            return Ok(());
        };
        if dir.is_dir() && dir.uid() == own.uid() {
            return Ok(());
        }
        Err(Failed::Wrong(format!(
            "{}: it must be run as the owner of this directory, nginx's user: setpriv --reuid {} --regid {} \
             --clear-groups sparkngin publish ...",
            self.dir.display(),
            dir.uid(),
            dir.gid()
        )))
    }

    /// A ring to begin with, the newest; the publisher finds the others, and those that come later.
    fn ring(&self) -> Result<Option<Ring>, String> {
        if !self.dir.is_dir() {
            return Ok(None);
        }
        let found = Ring::find_all(&self.dir, |_| false).map_err(|error| error.to_string())?;
        Ok(found.rings.into_iter().next_back())
    }

    fn lead(&mut self, ring: Ring) {
        let led = self.lease(&ring).and_then(|lease| {
            let Some(lease) = lease else { return Ok(None) };
            let settings = self.settings.clone();
            match ring.alive() {
                true => start(lease, ring, settings).map(Some),
                // Of an earlier boot, say: it is removed when it is drained.
                false => start_draining(lease, ring, settings).map(Some),
            }
        });
        match led {
            Ok(Some(publisher)) => {
                self.publisher = Some(publisher);
                self.said.clear();
                tracing::info!(dir = %self.dir.display(), "publishing");
            }
            Ok(None) => {}
            Err(error) => self.say(&format!("waiting: no publisher can be started: {error}")),
        }
    }

    fn lease(&mut self, ring: &Ring) -> io::Result<Option<Lease>> {
        let candidate = Candidate::new(&self.dir)?;
        let (own, state) = (self.settings.configuration.configured_at, ring.state());
        let held = candidate.is_held()?;
        // Of those who bid there is one, and the lease is for that one.
        let mine = self.bid.is_some() || !candidate.outbid()?;
        let vacant = self.vacancy.lasts(held, self.began.elapsed().as_millis() as u64);
        if held {
            if state.holder_configured_at >= own || !mine {
                self.older = None;
                self.say("another one publishes by a newer configuration: standing by");
            } else if self.older.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                if self.bid.is_none() {
                    self.bid = Bid::try_place(&self.dir)?;
                }
                self.say("another one publishes by an older configuration: taking over");
            }
            return Ok(None);
        }
        self.older = None;
        if !mine || (state.configured_at > own && !vacant) {
            return Ok(None);
        }
        let lease = candidate.try_take()?.ok();
        if lease.is_some() {
            self.bid = None;
        }
        Ok(lease)
    }

    /// Ends the publisher, if it runs: what was acknowledged until now is stored.
    fn end(&mut self) {
        if let Some(publisher) = self.publisher.take() {
            publisher.stop();
            tell(publisher.join());
        }
    }

    fn say(&mut self, text: &str) {
        if self.said != text {
            tracing::warn!("{text}");
            self.said = text.to_owned();
        }
    }
}

/// Logs what the publisher has to say.
fn tell(lines: Vec<(Level, String)>) {
    for (level, text) in lines {
        match level {
            Level::Info => tracing::info!("{text}"),
            Level::Warn => tracing::warn!("{text}"),
            Level::Error => tracing::error!("{text}"),
        }
    }
}
