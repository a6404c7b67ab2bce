//! `sparkngin top`: what `/sn/status` shows, of one nginx or many and of subscribers, in a terminal.

mod frame;
mod terminal;
mod trail;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use self::frame::Frame;
use self::terminal::{Key, Terminal};
use self::trail::Trail;
use crate::args;
use crate::ask::Url;
use crate::figures::{Nginx, Subscriber};
use crate::states::urls;
use crate::subscribe::stop_on_signals;
use crate::wake;

/// Why it does not end well.
pub enum Ended {
    /// A word that cannot be.
    Wrong(String),
    /// The system refuses.
    Failed(String),
}

/// Who is asked.
#[derive(Clone, Debug)]
enum Asked {
    Nginx(Url),
    Subscriber(Url),
}

/// What was found out, or why nothing was.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Of an nginx.
    Nginx(Result<Nginx, String>),
    /// Of a subscriber.
    Subscriber(Result<Subscriber, String>),
}

/// One of them, as it is shown.
#[derive(Debug)]
pub struct Place {
    /// Its URL.
    pub text: String,
    /// What was seen last.
    pub seen: Seen,
    /// How it was going.
    pub trail: Trail,
}

impl Asked {
    fn ask(&self, patience: Duration) -> Seen {
        match self {
            Asked::Nginx(url) => Seen::Nginx(Nginx::ask(url, patience)),
            Asked::Subscriber(url) => Seen::Subscriber(Subscriber::ask(url, patience)),
        }
    }
}

/// Shows it, once or until it is left.
///
/// # Errors
/// [`Ended`]
pub fn run(args: &args::Top) -> Result<(), Ended> {
    let read = |texts: &[String]| urls(texts).map_err(Ended::Wrong);
    let mut asked = Vec::new();
    for (text, url) in read(&args.url)? {
        asked.push((text, Asked::Nginx(url)));
    }
    for (text, url) in read(&args.subscriber)? {
        asked.push((text, Asked::Subscriber(url)));
    }
    let patience = Duration::from_secs(args.timeout.max(1));
    let interval = Duration::from_secs(args.interval.max(1));
    let on_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    let colours = on_terminal && std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty());
    let mut board = Board { places: Vec::new(), frame: Frame { colours } };
    let ended = if args.once {
        board.take(all(&asked, patience));
        board.print()
    } else {
        let looks = look(asked, patience, interval).map_err(|e| Ended::Failed(e.to_string()))?;
        if on_terminal { board.show(&looks) } else { board.print_all(&looks) }
    };
    match ended {
        // Who reads along has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Ended::Failed(error.to_string())),
        Ok(()) => Ok(()),
    }
}

type Look = Vec<(String, Seen)>;

/// Asks all at once: one that is slow does not make the others late.
fn all(asked: &[(String, Asked)], patience: Duration) -> Look {
    thread::scope(|scope| {
        let ask = |(text, asked): &'_ (String, Asked)| (text.clone(), asked.ask(patience));
        let asking: Vec<_> = asked.iter().map(|one| scope.spawn(move || ask(one))).collect();
        // A thread that failed has said why on stderr; the others are shown.
        asking.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// Asks again and again, on a thread of its own: keys are heeded meanwhile.
fn look(
    asked: Vec<(String, Asked)>,
    patience: Duration,
    interval: Duration,
) -> io::Result<Receiver<Look>> {
    let (send, looks) = mpsc::sync_channel(1);
    let ask = move || {
        let (hold, held) = mpsc::channel::<()>();
        loop {
            let next = Instant::now() + interval;
            if send.send(all(&asked, patience)).is_err() {
                break;
            }
            // Nobody sends: it waits.
            let _ = held.recv_timeout(next.saturating_duration_since(Instant::now()));
        }
        drop(hold);
    };
    thread::Builder::new().name("look".to_owned()).spawn(ask)?;
    Ok(looks)
}

struct Board {
    places: Vec<Place>,
    frame: Frame,
}

impl Board {
    fn take(&mut self, look: Look) {
        let now = Instant::now();
        for (n, (text, seen)) in look.into_iter().enumerate() {
            if n == self.places.len() {
                self.places.push(Place { text, seen: seen.clone(), trail: Trail::default() });
            }
            let place = &mut self.places[n];
            place.trail.note(&seen, now);
            place.seen = seen;
        }
    }

    fn print(&self) -> io::Result<()> {
        let text = self.frame.text(&self.places, (usize::MAX, usize::MAX));
        let mut out = io::stdout().lock();
        out.write_all(text.join("\n").as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }

    fn print_all(&mut self, looks: &Receiver<Look>) -> io::Result<()> {
        while let Ok(look) = looks.recv() {
            if !self.places.is_empty() {
                io::stdout().write_all(b"\n")?;
            }
            self.take(look);
            self.print()?;
        }
        Ok(())
    }

    /// On the terminal, until `q` or a signal.
    fn show(&mut self, looks: &Receiver<Look>) -> io::Result<()> {
        let (waker, _wakes) = wake::pair()?;
        let stop = stop_on_signals(&waker)?;
        let mut terminal = Terminal::open()?;
        let mut shown = None;
        while !stop.load(Ordering::Relaxed) {
            match looks.try_recv() {
                Ok(look) => {
                    self.take(look);
                    shown = None;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            let size = terminal.size();
            if shown != Some(size) {
                terminal.draw(&self.frame.text(&self.places, size))?;
                shown = Some(size);
            }
            if terminal.key()? == Some(Key::Leave) {
                break;
            }
        }
        Ok(())
    }
}
