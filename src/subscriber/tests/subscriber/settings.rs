//! Settings from a file and the environment, tested, shown, read again; and what a service manager is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use crate::rig::{Dir, Program, Source, sparkngin, until};

/// Exit code, stdout and stderr of `sparkngin subscribe`.
fn subscribe(args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = sparkngin();
    command.arg("subscribe").args(args).envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_file_is_tested_and_shown_without_anything_being_connected() {
    let dir = Dir::new();
    let path = dir.path().join("subscribe.toml").display().to_string();
    fs::write(dir.path().join("password"), "s3cret\n").unwrap();
    let text = format!(
        "feed = \"ipc:///nowhere/feed.sock\"\nkafka = \"127.0.0.1:1\"\n[property]\n\
         \"sasl.password\" = {{ file = \"{}/password\" }}\n\"ssl.key.password\" = \"s3cret\"\n",
        dir.path().display()
    );
    fs::write(&path, text).unwrap();
    let (code, out, err) = subscribe(&["-c", &path, "-t"], &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out, format!("{path}: the settings are good\n"));
    let (code, _, err) = subscribe(&["-c", &path, "-t"], &[("SPARKNGIN_KAFAK", "a:1")]);
    let ignored = "sparkngin: SPARKNGIN_KAFAK in the environment is no setting, it is ignored\n";
    assert_eq!((code, err.as_str()), (Some(0), ignored));
    let (code, dump, _) = subscribe(&["--dump-config"], &[("SPARKNGIN_CONFIG", &path)]);
    assert_eq!(code, Some(0));
    assert!(dump.contains(&format!("# {path}:2: kafka")) && !dump.contains("s3cret"), "{dump}");
    fs::write(&path, "feed = \"ipc:///a\"\nkafka = \"a:1\"\nwindow = \"1k\"\n").unwrap();
    for what in ["-t", "--dump-config"] {
        let (code, out, err) = subscribe(&["-c", &path, what], &[]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        let must = format!("sparkngin: {path}:3: window \"1k\": it must be between 64k and 64m\n");
        assert_eq!(err, must);
    }
}

#[test]
fn hup_reads_the_settings_again_and_keeps_the_session() {
    let mut source = Source::new();
    let dir = Dir::new();
    let (file, out) = (dir.path().join("s.toml"), dir.path().join("out"));
    let settings = |fields: &str| fs::write(&file, format!("fields = \"{fields}\"\n")).unwrap();
    settings("%topic%");
    let words = ["--config", file.to_str().unwrap(), "--lines", out.to_str().unwrap()];
    let program = Program::start(&source, &words.map(str::to_owned));
    source.events("a", 1);
    let lines = |count| {
        until("the lines", || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() == count).then_some(lines)
        })
    };
    assert_eq!(lines(1), ["{\"topic\":\"a\"}"]);
    settings("%a");
    program.signal("-HUP");
    program.says("s.toml:1: fields");
    program.says("what was read before is used on");
    source.events("b", 1);
    assert_eq!(lines(2)[1], "{\"topic\":\"b\"}");
    fs::write(&file, "fields = \"%topic% %data%\"\nwindow = \"1m\"\n").unwrap();
    program.signal("-HUP");
    program.says("HUP: the settings are read again");
    program.says("needs a new start: window");
    source.events("c", 1);
    assert_eq!(lines(3)[2], "{\"topic\":\"c\",\"data\":\"0\"}");
    assert_eq!(source.drained().delivered, 3, "each once");
    assert_eq!(program.log().matches("session open").count(), 1, "it was never dropped");
}

#[test]
fn a_service_manager_is_told_that_it_is_ready_alive_reading_again_and_leaving() {
    let source = Source::new();
    let dir = Dir::new();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let environment =
        [("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "200000".to_owned())];
    let lines = ["--lines".to_owned(), dir.path().join("out").display().to_string()];
    let mut program = Program::start_in(&source, &lines, &environment);
    // What was heard, and how far it was looked through.
    let (mut heard, mut seen) = (Vec::<String>::new(), 0);
    let mut hear = |what: &str| {
        let mut bytes = [0; 4096];
        // The watchdog is fed all the time: so many messages are a long time.
        for _ in 0..400 {
            if let Some(at) = heard[seen..].iter().position(|line| line.starts_with(what)) {
                seen += at + 1;
                return;
            }
            let length =
                manager.recv(&mut bytes).unwrap_or_else(|e| panic!("{what}: {e}: {heard:?}"));
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            heard.extend(text.lines().map(str::to_owned));
        }
        panic!("{what}: {heard:?}");
    };
    hear("READY=1");
    hear("STATUS=ready");
    for _ in 0..5 {
        hear("WATCHDOG=1");
    }
    program.signal("-HUP");
    for what in ["RELOADING=1", "MONOTONIC_USEC=", "READY=1"] {
        hear(what);
    }
    assert_eq!(program.term().code(), Some(0));
    hear("STOPPING=1");
}
