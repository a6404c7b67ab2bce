#!/usr/bin/perl

# Locked doors: CURVE on both sockets of a real nginx. Each way in that is refused stands beside its twin that differs in
# one thing and is let in: the right key, a wrong one, none, that of another name, another server's; garbage in place of a
# handshake; live with and without a key and for listed readers; keys that change with a reload.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin;
use Test::More;

my $seed = $ENV{SEED} // time;
note("SEED=$seed");
my $t = Sparkngin->new;
my ($dir, $subscribers) = ($t->dir, 0);
my ($live, $feed) = map { "tcp://127.0.0.1:" . $t->port($_) } qw(live feed);

# --- keygen ---

sub program { return $t->run($Sparkngin::PROGRAM, @_) }
for my $name (qw(server kafka other stranger server2 kafka2)) {
    my ($code, $said) = program('keygen', "$dir/$name");
    is($code, 0, "keygen $name") or diag $said;
    like($said, qr{^\Q$dir\E/$name\.key .*\n\Q$dir\E/$name\.pub }, '  names both files');
}
is((stat "$dir/kafka.key")[2] & 07777, 0600, 'the secret key is for its owner alone');
is((stat "$dir/kafka.pub")[2] & 0777 & ~umask, 0644 & ~umask, 'the public one is for everybody');
my %lines = map { $t->read_file($_) => 1 } map { ("$_.key", "$_.pub") } qw(server kafka other stranger);
is(scalar(grep { /^\S{40}\n\z/ } keys %lines), 8, 'each is one line of 40 characters, and no two are the same');
{
    my ($code, $said) = program('keygen', "$dir/kafka");
    is($code, 1, 'keygen does not overwrite a key');
    like($said, qr{\Q$dir\E/kafka\.key: File exists}, '  and says which');
    unlink "$dir/kafka2.key";
    ($code, $said) = program('keygen', "$dir/kafka2");
    is($code, 1, 'nor a public key alone');
    ok(!-e "$dir/kafka2.key", '  and leaves no half of a pair');
    unlink "$dir/kafka2.pub";
    is((program('keygen', "$dir/kafka2"))[0], 0, '  which can be made then');
}

# --- nginx with both doors locked ---

sub keys_conf {
    my (%opt) = @_;
    my ($server, $kafka) = ($opt{server} // 'server', $opt{kafka} // 'kafka');
    my $more = $opt{listen} // '';
    $t->conf(location => 'sparkngin_root_loc;', http => <<"CONF");
    sparkngin_listen 127.0.0.1:%%PORT_live%% feed=127.0.0.1:%%PORT_feed%% $more;
    sparkngin_curve_key $server.key;
    sparkngin_subscriber kafka key=$kafka.pub;
    sparkngin_subscriber other key=other.pub;
    sparkngin_buf_path %%DIR%%/ring;
    sparkngin_format json;
    sparkngin_fields %topic% %data% %sg%;
CONF
}
keys_conf();
$t->start->ready;
my ($events, @sent) = (0);

sub event {
    my ($data) = @_;
    is($t->get("/sn/log?topic=doors&data=$data")->{status}, 204, "event $data");
    push @sent, $data;
    return ++$events;
}
event('one');

# A subscriber of the feed that writes lines, as `name`, with these words for its keys.
sub subscribe {
    my ($name, @keys) = @_;
    my $n = ++$subscribers;
    my $it = $t->daemon(name => "subscriber.$n", command => [
        $Sparkngin::PROGRAM, 'subscribe', '--feed', $feed, '--lines', "$dir/lines.$n", '--name', $name, '--log', 'text',
        '--http', '127.0.0.1:' . $t->port("http$n"), @keys ]);
    $it->{port} = $t->port("http$n");
    return $it;
}
sub with { my ($own, $server) = @_; return ('--curve-key', "$dir/$own.key", '--server-key', "$dir/" . ($server // 'server') . '.pub') }
sub ready { my ($it) = @_; return $t->get('/readyz', port => $it->{port}) }
sub books { my ($name) = @_; return (grep { $_->{name} eq $name } @{ $t->status->{subscribers} })[0] }

sub is_ready {
    my ($it, $what) = @_;
    ok(poll(20, $what, sub { ready($it)->{status} == 200 }), $what);
}

sub is_delivered {
    my ($name, $count) = @_;
    ok(poll(20, "$name has $count", sub { my $b = books($name); $b->{in_kafka} == $count && $b->{in_ring} == 0 }), "  $name acknowledged all");
}

# What is refused: it says why, is not ready, does not end, moves nothing. Then the same with what it lacks is let in.
my @shut = (
    ['a key that nobody knows', 'kafka', [ with('stranger') ], qr/the publisher does not know our key/],
    ['no key', 'kafka', [], qr/the handshake fails: the publisher wants a key, see --curve-key and --server-key/],
    ['only the server\'s key', 'kafka', [ '--server-key', "$dir/server.pub" ], qr/the publisher does not know our key/],
    ['another server\'s key', 'kafka', [ with('kafka', 'server2') ], qr/the handshake fails: --server-key is not the publisher's key/],
    ['the key of another name', 'kafka', [ with('other') ], qr/the key is not the one that nginx has for this name/],
);
for my $row (@shut) {
    my ($what, $name, $keys, $why) = @$row;
    my $it = subscribe($name, @$keys);
    $it->says($why, 20);
    pass("$what: it says why");
    is(ready($it)->{status}, 503, '  it is not ready');
    ok(poll(10, '/readyz says why', sub { ready($it)->{body} =~ $why }), '  and /readyz says why');
    ok($it->running, '  it waits');
    is(books($name)->{in_kafka}, 0, '  nothing was acknowledged');
    is($t->read_file("lines.$subscribers"), '', '  it got nothing');
    is($it->stop, 0, '  TERM ends it');
}
$t->logged(qr/\[warn\] .* a peer from 127\.0\.0\.1 is not let in at feed: its key is not known/);
$t->logged(qr/\[warn\] .* a peer is refused, its key is that of "other", and it says that it is "kafka"/);
pass('nginx says whom it did not let in');
my $kafka = subscribe('kafka', with('kafka'));
is_ready($kafka, 'the right key is let in');
is_delivered('kafka', 1);
is(books('other')->{in_kafka}, 0, '  for its own name');
my $other = subscribe('other', with('other'));
is_ready($other, 'the other one, too');
is_delivered('other', 1);
like($t->read_file("lines.$subscribers"), qr/"data":"one"/, '  and got the event');

# --- peers that are no subscribers of ours ---

sub python { return $t->run($Sparkngin::PYTHON, "$Sparkngin::ROOT/t/lib/doors.py", @_) }
{
    is($other->stop, 0, 'the other one leaves');
    event('two');
    is_delivered('kafka', 2);
    my ($region) = $t->status->{ring}{region};
    my ($code, $said) = python('thief', $feed, "$dir/server.pub", "$dir/kafka.key", 'other', "$region-0-" . '0' x 16);
    is($said, "REFUSED key\nREFUSED session\n", 'with the key of kafka nobody is "other", and acknowledges nothing for it');
    is(books('other')->{in_ring}, 1, '  its event is still in the ring');
    ($code, $said) = python('thief', $feed, "$dir/server.pub", "$dir/other.key", 'other', "$region-0-" . '0' x 16);
    is($said, "WELCOME \nREFUSED session\n", 'with its own key there is a session');
    for my $row ([DEALER => $feed], [SUB => $live]) {
        ($code, $said) = python('plain', @$row);
        is($said, "shut out\n", "without CURVE nobody is heard on the $row->[1] socket") or diag $said;
    }
    for my $door (qw(feed live)) {
        ($code, $said) = python('garbage', $t->port($door), $seed);
        is($said, "said everything\n", "garbage for handshakes at $door");
    }
    is_ready($kafka, 'the subscriber does not mind');
    event('three');
    is_delivered('kafka', 3);
}

# Handshakes that end before anybody is asked for a key: nginx says so, and not each time.
$t->logged(qr/\[warn\] .* a handshake at feed fails: the peer has no key, and "sparkngin_curve_key" demands one/);
$t->logged(qr/\[warn\] .* a handshake at live fails: the peer has no key, and "sparkngin_curve_key" demands one/);
$t->logged(qr/\[warn\] .* a handshake at feed fails: the peer has another publisher's key, or a broken one, for --server-key/);
cmp_ok(scalar(() = $t->error_log =~ /a handshake at \w+ fails/g), '<', 30, 'nginx tells of handshakes that fail, in a few lines');

# --- the examples, with keys ---

sub example {
    my ($name, @words) = @_;
    return $t->daemon(name => "$name." . ++$subscribers, env => { PYTHONDONTWRITEBYTECODE => 1 },
        command => [ $Sparkngin::PYTHON, '-u', "$Sparkngin::ROOT/examples/$name.py", @words ]);
}
{
    my $stranger = example('durable_subscriber', with('stranger'), $feed, 'other');
    my $keyless = example('durable_subscriber', $feed, 'other');
    my $books = books('other');
    $_->says(qr/nothing was heard for 3 s/) for $stranger, $keyless;
    is_deeply([ @{ books('other') }{qw(in_ring in_kafka)} ], [ @$books{qw(in_ring in_kafka)} ], 'durable_subscriber.py with a stranger\'s key, and with none: nothing moves');
    $_->stop for $stranger, $keyless;
    my $durable = example('durable_subscriber', with('other'), $feed, 'other');
    poll(20, 'it has acknowledged all', sub { books('other')->{in_ring} == 0 });
    like($durable->log_text, qr/"data": "three"/, 'with its own key it gets its events');
    $durable->stop;
    my ($code, $said) = $t->run($Sparkngin::PYTHON, "$Sparkngin::ROOT/examples/live_reader.py", '--curve-key', "$dir/other.key", $live);
    is($code, 1, 'a key of its own alone is refused');
    like($said, qr/--curve-key needs --server-key/, '  and it says why');
}

# --- live ---

my $live_said = 0;
sub tail {
    my (@keys) = @_;
    return $t->daemon(name => 'tail.' . ++$live_said, command => [ $Sparkngin::PROGRAM, 'tail', '--count', 1, @keys, $live ]);
}
{
    my $none = tail();
    $none->says(qr/the publisher wants a key/);
    my $wrong = tail('--server-key', "$dir/server2.pub");
    $wrong->says(qr/--server-key is not the publisher's key/);
    my $any = tail('--server-key', "$dir/server.pub");
    $any->says(qr/"data":"one"/);
    is($any->ended, 0, 'live: who knows the server\'s key reads');
    ok($none->running && $wrong->running, '  who does not waits');
    unlike($_->log_text, qr/"data"/, '  and reads nothing') for $none, $wrong;
    $_->stop for $none, $wrong;

    my $reader = example('live_reader', '--server-key', "$dir/server.pub", $live, 'doors');
    event('read');
    $reader->says(qr/^doors \{.*"data":"read"/m);
    pass('  so does live_reader.py');
    $reader->stop;

    $t->write_file('readers', $t->read_file('kafka2.pub') . $t->read_file('other.pub'));
    keys_conf(listen => 'readers=readers');
    $t->reload->ready;
    # Nobody reads just now, so each event waits for whoever comes.
    event('four');
    my ($code, $said) = python('live', $live, "$dir/server.pub", "$dir/kafka2.key");
    like($said, qr/^got doors/, 'live with listed readers: one of them reads, by pyzmq alone');
    my $listed = tail('--server-key', "$dir/server.pub", '--curve-key', "$dir/other.key");
    my $unlisted = tail('--server-key', "$dir/server.pub", '--curve-key', "$dir/kafka.key");
    my $drawn = tail('--server-key', "$dir/server.pub");
    $_->says(qr/the publisher does not know our key/) for $unlisted, $drawn;
    poll(60, 'another one that is listed has an event', sub { event("more$events"); !$listed->running });
    is($listed->ended, 0, '  another one, too');
    like($listed->log_text, qr/"data":"/, '    as it comes');
    unlike($_->log_text, qr/"data"/, '  a key that is not listed does not') for $unlisted, $drawn;
    # Those that wait are let in as soon as they may.
    keys_conf();
    $t->reload->ready;
    # An event is live for who is there: the two need not come at the same time.
    poll(60, 'without the list again both end', sub { event("five$events"); !grep { $_->running } $unlisted, $drawn });
    is($_->ended, 0, 'without the list again, who waited is let in') for $unlisted, $drawn;
}

# --- other keys, by a reload: the old ones are out, the new ones in, nobody is started again ---

is_ready($kafka, 'the subscriber has gone on over both reloads');
is_delivered('kafka', $events);
my $new = subscribe('kafka', with('kafka2'));
$new->says(qr/the publisher does not know our key/);
keys_conf(kafka => 'kafka2');
$t->reload->ready;
is_ready($new, 'another key for the name: who has it is let in');
$kafka->says(qr/the publisher does not know our key/);
is(ready($kafka)->{status}, 503, '  who has the old one is not ready any more');
event('six');
is_delivered('kafka', $events);
is($kafka->stop, 0, '  the old one leaves');
my $later = subscribe('kafka', with('kafka2', 'server2'));
$later->says(qr/--server-key is not the publisher's key/);
keys_conf(server => 'server2', kafka => 'kafka2');
$t->reload->ready;
is_ready($later, 'another key for the server: who knows it is let in');
$new->says(qr/--server-key is not the publisher's key/);
is(ready($new)->{status}, 503, '  who knows the old one is not ready any more');
event('seven');
is_delivered('kafka', $events);
my $taken = join '', map { $t->read_file("lines.$_") } 1 .. $subscribers;
is(join(',', map { my $data = $_; scalar(() = $taken =~ /"data":"$data"/g) } @sent), join(',', 2, (1) x $#sent),
    'each event came once to kafka, the first one to the other, too');

# A reload with a key that cannot be read is refused; the old configuration serves on.
chmod 0644, "$dir/server2.key";
kill HUP => $t->master;
$t->logged(qr/\[emerg\] .*others than its owner may use the secret key "\Q$dir\E\/server2\.key": its mode is 0644, it must be 0600/);
$t->{expected} = qr/others than its owner/;
event('eight');
is_delivered('kafka', $events);

$t->finish;
