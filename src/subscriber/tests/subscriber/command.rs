//! The other commands, and what is wrong on the command line.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use crate::rig::{Kafka, Program, Source, sparkngin, until};

fn run(args: &[&str]) -> Output {
    sparkngin().args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_wrong_on_the_command_line_is_one_line_with_the_flags_name_and_exit_2() {
    let feed = ["subscribe", "--feed", "ipc:///nowhere/feed.sock"];
    let rows: &[(&[&str], &str)] = &[
        (&["--kafka", "127.0.0.1:9092", "-X", "acks=1"], "-X"),
        (&["--kafka", "127.0.0.1:9092", "--window", "1"], "--window"),
        (&["--kafka", "nowhere"], "--kafka"),
        (&[], "--kafka"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--feed", "tcp://nowhere", "--kafka", "127.0.0.1:9092"], "it must be ipc://PATH"),
        (&["--lines", "/nowhere/file"], "--lines"),
        (&["--kafka", "127.0.0.1:9092", "--dead-letter", "file:/nowhere/file"], "--dead-letter"),
    ];
    for (more, flag) in rows {
        let output = run(&[&feed[..], more].concat());
        let said = text(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {said}");
        assert!(last.starts_with("sparkngin: ") && last.contains(flag), "{more:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_audit_says_that_kafka_does_not_answer_while_it_waits() {
    let mut command = sparkngin();
    command.args(["audit", "--kafka", "127.0.0.1:9", "--topic", "clicks"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "sparkngin: 127.0.0.1:9 does not answer yet, waiting for 30 s\n");
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_version_names_the_libraries() {
    let said = text(&run(&["--version"]).stdout);
    assert!(
        said.starts_with("sparkngin 0.")
            && said.contains("librdkafka 2.")
            && said.contains("libzmq 4.")
    );
}

#[test]
fn help_teaches_by_examples() {
    for args in
        [&["--help"][..], &["subscribe", "--help"], &["tail", "--help"], &["ring", "--help"]]
    {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("sparkngin"), "{args:?}");
    }
    assert!(text(&run(&["subscribe", "--help"]).stdout).contains("Examples:"));
}

#[test]
fn lines_need_no_broker() {
    let mut source = Source::new();
    let file = source.dir.path().join("out");
    let more = ["--lines".to_owned(), file.display().to_string()];
    let _program = Program::start(&source, &more);
    source.events("clicks", 100);
    assert_eq!(source.drained().delivered, 100);
    let written = std::fs::read_to_string(&file).unwrap();
    let numbers: Vec<String> = written
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|value| value["data"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(numbers, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn each_format_and_choice_of_fields_is_the_value() {
    let rows: &[(&[&str], &str)] = &[
        (&["--format", "plain", "--delimiter", "|", "--fields", "%topic% %data%"], "clicks|x y"),
        (&["--fields", "%data% %sg%"], "{\"data\":\"x y\",\"sg\":\"SG\"}"),
    ];
    for (more, expected) in rows {
        let mut source = Source::new();
        let kafka = Kafka::new(&["clicks"]);
        let _program = Program::subscribe(&source, &kafka, more);
        let sg = source.event("clicks", "data=x+y");
        let seen = kafka.read("clicks", 1);
        assert_eq!(text(&seen[0].value), expected.replace("SG", &sg));
    }
}

#[test]
fn a_ring_is_shown_and_dumped_in_use_and_left_behind() {
    let mut source = Source::new();
    let sent = source.events("clicks", 3);
    for left_behind in [false, true] {
        if left_behind {
            source.stop_publishing();
        }
        let dir = source.dir.path().display().to_string();
        let status = run(&["ring", "status", &dir, "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(
            (&status[0]["committed"], &status[0]["subscribers"][0]["in_ring"]),
            (&3.into(), &3.into())
        );
        assert!(text(&run(&["ring", "status", &dir]).stdout).contains("subscriber kafka"));
        let dump = text(&run(&["ring", "dump", &dir]).stdout);
        let lines: Vec<serde_json::Value> =
            dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids, sent);
        assert_eq!(lines[1]["event"]["data"], "1");
        let raw = text(&run(&["ring", "dump", "--raw", &dir]).stdout);
        assert!(raw.lines().all(|line| line.contains("\"hex\":\"")));
    }
    let nowhere = run(&["ring", "status", "/nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let said = text(&nowhere.stderr);
    assert!(said.starts_with("sparkngin: cannot read \"/nowhere\": No such file"), "{said}");
}

#[test]
fn a_ring_is_verified_in_use_and_a_broken_copy_is_told_with_place_and_exit_1() {
    let mut source = Source::new();
    source.events("clicks", 300);
    let dir = source.dir.path().display().to_string();
    let whole = run(&["ring", "verify", &dir]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
    let said = text(&whole.stdout);
    assert!(said.contains("300 records in 1 blocks: whole\n"), "{said}");
    let mut bytes = std::fs::read(format!("{dir}/ring.1")).unwrap();
    let record = bytes.len() - 256 * 65536 + 10;
    bytes[record] ^= 1;
    let copy = format!("{dir}/copy");
    std::fs::write(&copy, bytes).unwrap();
    let broken = run(&["ring", "verify", &copy]);
    assert_eq!(
        (broken.status.code(), text(&broken.stderr)),
        (Some(1), "sparkngin: 2 flaws\n".to_owned()),
        "{}",
        text(&broken.stdout)
    );
    let said = text(&broken.stdout);
    assert!(said.contains("NOT WHOLE\n  note: a copy: it was made as another file\n"), "{said}");
    assert!(
        said.contains(&format!("  block 0, at byte {}: 0 bytes in, where ", record - 10)),
        "{said}"
    );
    let json = run(&["ring", "verify", "--json", &copy]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["whole"], &json["records"]), (&false.into(), &0.into()), "{json}");
    assert_eq!(run(&["ring", "verify", "/nowhere"]).status.code(), Some(1));
}

#[test]
fn what_is_damaged_is_not_dumped_but_counted_with_exit_1() {
    let mut source = Source::new();
    let sent = source.events("clicks", 300);
    source.stop_publishing();
    let file = format!("{}/ring.1", source.dir.path().display());
    let mut bytes = std::fs::read(&file).unwrap();
    let blocks = bytes.len() - 256 * 65536;
    let found = bytes[blocks..].windows(3).position(|three| three == b"150").unwrap();
    bytes[blocks + found] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let dump = run(&["ring", "dump", &source.dir.path().display().to_string()]);
    let (printed, said) = (text(&dump.stdout), text(&dump.stderr));
    assert_eq!(printed.lines().count(), 150, "{said}");
    assert!(printed.lines().last().unwrap().contains(&sent[149]));
    assert_eq!(dump.status.code(), Some(1), "{said}");
    let (first, last) = said.trim_end().split_once('\n').unwrap();
    assert!(first.ends_with("-0 is damaged after 150, up to 300, 150 in all"), "{said}");
    assert_eq!(last, "sparkngin: 150 events are damaged and were not printed");
}

#[test]
fn only_what_a_subscriber_has_not_acknowledged_is_dumped_on_demand() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut program = Program::subscribe(&source, &kafka, &[]);
    source.events("clicks", 5);
    source.drained();
    program.term();
    let late = source.event("clicks", "data=late");
    let dir = source.dir.path().display().to_string();
    let dump = text(&run(&["ring", "dump", &dir, "--unacked", "kafka"]).stdout);
    assert_eq!(dump.lines().count(), 1);
    assert!(dump.contains(&late));
    assert_eq!(run(&["ring", "dump", &dir, "--unacked", "nobody"]).status.code(), Some(1));
}

#[test]
fn tail_shows_live_events() {
    let mut source = Source::new();
    let live = source.live();
    let mut child = sparkngin()
        .args(["tail", &live, "--json", "--count", "2", "--topic", "clicks"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    source.event("other", "data=0");
    source.event("clicks", "data=1");
    source.event("clicks", "data=2");
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = out.lines().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 2);
    let line: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(line["topic"], "clicks");
    let payload: serde_json::Value =
        serde_json::from_str(line["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["data"], "2");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_mock_kafka_is_reached_through_the_port_of_ones_choice_and_ends_on_term() {
    let mut child = sparkngin()
        .args(["mock-kafka", "--port", "0", "--topic", "clicks"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut servers = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut servers).unwrap();
    let mut source = Source::new();
    let more = ["--kafka".to_owned(), servers.trim().to_owned()];
    let program = Program::start(&source, &more);
    source.events("clicks", 100);
    assert_eq!(source.drained().delivered, 100);
    drop(program);
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert_eq!(until("its end", || child.try_wait().unwrap()).code(), Some(0));
}
