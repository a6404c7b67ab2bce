#!/usr/bin/perl
# Where the subscriber's log goes besides stderr: to a real rsyslog by UDP, TCP and a unix socket, as RFC 5424 has it, and to the
# journal, with priorities. And a server that is away holds nobody up.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Sparkngin;
use Test::More;

my ($rsyslogd) = grep { -x } '/usr/sbin/rsyslogd';
die "no rsyslogd: run `make deps` first\n" if !$rsyslogd;
my $t = Sparkngin->new;
my $dir = $t->dir;
my ($udp, $tcp, $late) = map { $t->port($_) } qw(udp tcp late);

# An rsyslog with a configuration of its own, that writes each field it understood between bars.
sub rsyslog {
    my ($name, $inputs) = @_;
    $t->write_file("$name.conf", <<"CONF", 0644);
global(workDirectory="$dir" maxMessageSize="16k" parser.escapeControlCharactersOnReceive="on")
@{[ map { "module(load=\"$_\"" . ($_ eq 'imuxsock' ? ' sysSock.use="off"' : '') . ")\n" } $inputs =~ /type="(\w+)"/g ]}
template(name="fields" type="string"
    string="%protocol-version%|%pri%|%timereported:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\\n")
$inputs
*.* action(type="omfile" file="$dir/$name.out" template="fields")
CONF
    $t->write_file("$name.out", '', 0666);
    my ($code, $text) = $t->run($rsyslogd, '-N1', '-f', "$dir/$name.conf");
    is($code, 0, "rsyslog takes its configuration ($name)") or diag($text);
    return $t->daemon(name => $name, foreign => 1, command => [$rsyslogd, '-n', '-f', "$dir/$name.conf", '-i', "$dir/$name.pid"]);
}

# A subscriber that finds nobody, and says so.
sub subscriber {
    my ($name, $log, %opt) = @_;
    my $http = $t->port("http.$name");
    my @command = ($Sparkngin::PROGRAM, 'subscribe', '--feed', "ipc://$dir/nobody.sock", '--kafka', '127.0.0.1:' . $t->port('nobody'), '--http', "127.0.0.1:$http");
    push @command, '--log', $log if defined $log;
    my $daemon = $t->daemon(name => $name, command => \@command, %opt);
    return ($daemon, $http);
}

# What rsyslog has of a process: an array for each line.
sub lines {
    my ($name, $pid) = @_;
    return grep { $_->[5] eq $pid } map { [split /\|/, $_, 9] } split /\n/, $t->read_file("$name.out");
}

chomp(my $host = do { open my $in, '<', '/proc/sys/kernel/hostname' or die; <$in> });
rsyslog('rsyslog', <<"CONF");
input(type="imudp" address="127.0.0.1" port="$udp")
input(type="imtcp" address="127.0.0.1" port="$tcp")
input(type="imuxsock" socket="$dir/log.sock" useSpecialParser="off" parseHostname="on" useSysTimeStamp="off" rateLimit.interval="0")
CONF
poll(30, 'rsyslog listens', sub { -S "$dir/log.sock" && IO::Socket::INET->new(PeerAddr => "127.0.0.1:$tcp") });

for my $way ("udp:127.0.0.1:$udp", "tcp:127.0.0.1:$tcp", "unix:$dir/log.sock") {
    my ($kind) = $way =~ /^(\w+)/;
    my ($daemon, $http) = subscriber($kind, "syslog:$way");
    my $pid = $daemon->pid;
    poll(30, "a warning comes by $kind", sub { grep { $_->[1] == 28 } lines('rsyslog', $pid) });
    my ($first) = poll(30, "the first line comes by $kind", sub { my @found = grep { $_->[8] =~ /healthz/ } lines('rsyslog', $pid); $found[0] });
    is_deeply([@$first[0, 1, 3 .. 7]], [1, 30, $host, 'sparkngin', $pid, '-', qq([fields\@32473 address="127.0.0.1:$http"])],
        "$kind: version, priority, host, name, process and fields are those of RFC 5424");
    # Of what comes by a unix socket rsyslog takes the time from the system.
    my $zone = $kind eq 'unix' ? qr/\.\d+(?:Z|[+-]\d\d:\d\d)/ : qr/\.\d{3}Z/;
    like($first->[2], qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$zone$/, '  and so is the time');
    like($first->[8], qr{^ ?/healthz, /readyz and /metrics$}, '  and the sentence is whole');
    is($daemon->stop, 0, '  it ends as asked');
    poll(30, "the last line comes by $kind", sub { grep { $_->[8] =~ /^ ?ended$/ } lines('rsyslog', $pid) });
    is($daemon->log_text, '', '  and nothing of it is on stderr');
}

# --- a server that comes later ---

my ($daemon, $http) = subscriber('late', "syslog:tcp:127.0.0.1:$late");
my ($why) = $daemon->says(qr/^(sparkngin: syslog at .*)$/m, 30);
like($why, qr/Connection refused .*; 1024 lines wait for it at most$/, 'a server that is away is told of on stderr, once');
ok(poll(30, 'it answers', sub { $t->get('/healthz', port => $http)->{status} == 200 }), '  and holds nobody up');
rsyslog('later', qq(input(type="imtcp" address="127.0.0.1" port="$late")));
poll(60, 'the lines that waited are there', sub { grep { $_->[8] =~ /healthz/ } lines('later', $daemon->pid) });
is($daemon->stop, 0, '  it ends as asked');
is(() = $daemon->log_text =~ /syslog at/g, 1, '  and had said it once');

# --- the journal ---

($daemon) = subscriber('journal', 'journald');
$daemon->says(qr/^<4>/m, 30);
is($daemon->stop, 0, 'it ends as asked');
my $text = $daemon->log_text;
is(scalar(grep { !/^<[3467]>\S/ } split /\n/, $text), 0, 'journald: each line has its priority before it') or diag($text);
like($text, qr{^<6>/healthz, /readyz and /metrics address=127\.0\.0\.1:\d+$}m, '  and fields behind it');
my $file = $t->write_file('stream.log', '');
my ($dev, $inode) = stat $file;
($daemon) = subscriber('stream', undef, log => $file, env => { JOURNAL_STREAM => "$dev:$inode" });
$daemon->says(qr/^<6>/m, 30);
is($daemon->stop, 0, 'what systemd connects to the journal is written so by itself');
($daemon) = subscriber('other', undef, env => { JOURNAL_STREAM => "$dev:$inode" });
$daemon->says(qr/healthz/, 30);
$daemon->stop;
unlike($daemon->log_text, qr/^<\d>/m, '  and another file is not');

SKIP: {
    skip 'only root can give a journal a /run of its own', 4 if $> != 0;
    my ($journald) = grep { -x } '/lib/systemd/systemd-journald', '/usr/lib/systemd/systemd-journald';
    die "no systemd-journald: run `make deps` first\n" if !$journald;
    mkdir $t->path('journal');
    my $private = "mount -t tmpfs none /run && mkdir -p /run/systemd /run/log/journal && mount --bind '$dir/journal' /run/log/journal && exec $journald";
    my $journal = $t->daemon(name => 'journal.real', foreign => 1, command => ['unshare', '-m', 'sh', '-c', $private]);
    my $inside = sub { return ('nsenter', '-t', $journal->pid, '-m', @_) };
    poll(30, 'journald listens', sub { ($t->run($inside->(qw(test -S /run/systemd/journal/stdout))))[0] == 0 });
    my $http = $t->port('http.real');
    my $real = $t->daemon(name => 'real', command => [$inside->('systemd-cat', '-t', 'collector'), $Sparkngin::PROGRAM, 'subscribe', '--feed', "ipc://$dir/nobody.sock",
        '--kafka', '127.0.0.1:' . $t->port('nobody'), '--http', "127.0.0.1:$http", '--log', 'journald']);
    my $has = sub { return ($t->run('journalctl', '-D', $t->path('journal'), '-q', '-t', 'collector', '-o', 'cat', @_))[1] };
    my $warned = poll(60, 'the journal has a warning', sub { my $said = $has->('-p', 'warning'); $said =~ /^127\.0\.0\.1:\d+: .*$/m && $said });
    pass('a real journal finds a warning by its priority');
    unlike($warned, qr/healthz|<\d>/, '  and nothing below it, and no priority in the text');
    like($has->('-p', 'info'), qr{^/healthz, /readyz and /metrics address=127\.0\.0\.1:$http$}m, '  what is less is there, too');
    is($real->stop, 0, '  it ends as asked');
    $journal->stop;
}

# --- a feed that it may not connect to ---

mkdir $t->path('barred'), 0 or die "mkdir: $!";
# Root would be let in.
my @weak = $> == 0 ? qw(setpriv --bounding-set -all --inh-caps -all) : ();
$daemon = $t->daemon(name => 'barred', command => [@weak, $Sparkngin::PROGRAM, 'subscribe', '--feed', "ipc://$dir/barred/feed.sock",
    '--kafka', '127.0.0.1:' . $t->port('nobody'), '--http', 'off']);
$daemon->says(qr/WARN/, 30);
my ($first) = grep { /WARN/ } split /\n/, $daemon->log_text;
like($first, qr{waiting: \Q$dir\E/barred/feed\.sock: Permission denied: run as nginx's user}, 'who is the wrong user is told at once');
$daemon->stop;

# --- what cannot be ---

for my $word ('xml', 'syslog:somewhere', 'syslog:udp:host', 'syslog:unix:') {
    my ($code, $said) = $t->run($Sparkngin::PROGRAM, 'subscribe', '--feed', 'ipc:///a', '--kafka', 'a:1', '--log', $word);
    is($code, 2, "--log $word");
    like($said, qr/^sparkngin: --log "\Q$word\E": it must be auto, text, json, journald, syslog or syslog:ADDRESS/, '  is told what it must be');
}
$t->finish;
