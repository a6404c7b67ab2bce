#!/usr/bin/perl

# What a success means: the levels `ring`, `disk` and `kafka`, given by the location or asked for by the client. Kafka
# stopped, and its clients wait: they are answered when it is back, or in time with 504, a receipt, and an event that
# arrives; they may leave, be too many, be reloaded away or lose their worker. Under load the books close at each level.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Sparkngin::Spine;
use Test::More;
use Time::HiRes 'time';

my $t = Sparkngin::Spine->new(
    http => 'sparkngin_receipt on; sparkngin_max_pending 8; log_format seen "$request_uri $status $sparkngin_status $sparkngin_id";',
    location => 'access_log %%DIR%%/access.log seen;',
    server => <<'CONF');
        listen 127.0.0.1:%%PORT_h2%% http2;
        location /kafka/ { sparkngin_root_loc; sparkngin_ack kafka timeout=30s; access_log %%DIR%%/access.log seen; }
        location /short/ { sparkngin_root_loc; sparkngin_ack kafka timeout=300ms; access_log %%DIR%%/access.log seen; }
        location = /guard/log { sparkngin_root_loc; sparkngin_ack kafka; sparkngin_topic piped; }
        location /guarded/ { auth_request /guard/log; empty_gif; }
        location /disk/ { sparkngin_root_loc; sparkngin_ack disk; }
        location /ring/ { sparkngin_root_loc; sparkngin_ack ring max=ring; }
CONF
my $kafka = $t->{kafka};
my $events = 0;

sub taken { my ($n) = @_; $t->{totals}{taken} += $n // 1 }
sub ack { return $_[0]{headers}{'sparkngin-receipt'} =~ /; ack=(\w+)$/ ? $1 : 'none' }
sub why { return eval { JSON::PP->new->decode($_[0]{body})->{error} } // '' }
sub in_kafka { my ($topic) = @_; return map { JSON::PP->new->decode($_->{value})->{data} } $kafka->read($topic) }

# Each level, by location and by header.
for my $row (
    ['/sn/', [], 'ring'], ['/disk/', [], 'disk'], ['/kafka/', [], 'kafka'], ['/ring/', [], 'ring'],
    ['/sn/', ['Sparkngin-Ack', 'disk'], 'disk'], ['/disk/', ['Sparkngin-Ack', 'kafka'], 'kafka'],
    ['/sn/', ['Sparkngin-Ack', 'kafka'], 'kafka'], ['/sn/', ['sparkngin-ack', 'ring'], 'ring'],
    ['/kafka/', ['Sparkngin-Ack', 'ring'], 'kafka'], ['/sn/', ['Sparkngin-Ack', 'ring', 'Sparkngin-Ack', 'kafka'], 'kafka'],
) {
    my ($path, $headers, $level) = @$row;
    for my $method (qw(GET POST)) {
        my $n = ++$events;
        my $target = "${path}log?topic=ack";
        my $answer = $method eq 'GET' ? $t->get("$target&data=$n", headers => $headers) : $t->post($target, $n, headers => $headers);
        is("$answer->{status} " . ack($answer), "204 $level", "$method $path @$headers: 204 at the level $level");
        is(scalar(grep { $_ eq $n } in_kafka('ack')), 1, 'and it is in Kafka at that moment') if $level eq 'kafka';
        taken();
    }
}
for my $row (
    ['/sn/', 'tape', 400, 'the header must be "ring", "disk" or "kafka"'], ['/sn/', 'KAFKA', 400, 'the header must be "ring", "disk" or "kafka"'],
    ['/ring/', 'kafka', 403, 'the strongest level that may be asked for here is "ring"'],
    ['/ring/', 'disk', 403, 'the strongest level that may be asked for here is "ring"'],
) {
    my ($path, $asked, $status, $error) = @$row;
    my $answer = $t->get("${path}log?topic=never", headers => ['Sparkngin-Ack', $asked]);
    is($answer->{status}, $status, "$path, asked for $asked: $status");
    is_deeply(JSON::PP->new->decode($answer->{body}), { error => $error, field => 'Sparkngin-Ack' }, 'and why');
}

# Several at once: pipelined, and by HTTP/2.
{
    my $socket = connection();
    my $text = join '', map "GET /kafka/log?topic=piped&data=$_ HTTP/1.1\r\nHost: a\r\n\r\n", 1 .. 5;
    syswrite $socket, $text;
    my $raw = '';
    poll(10, 'five answers', sub { $socket->blocking(0); sysread $socket, $raw, 65536, length $raw; 5 <= (() = $raw =~ /^HTTP/mg) });
    is(scalar(() = $raw =~ /^HTTP\/1.1 204/mg), 5, 'five requests in one packet: five times 204');
    my @seqs = $raw =~ /^Sparkngin-Receipt: \w+-\d+-(\d+); ack=kafka/mg;
    is("@seqs", join(' ', sort { $a <=> $b } @seqs), 'in their order');
    taken(5);
    my ($code, $said) = $t->run('h2load', '-n', '200', '-c', '2', '-m', '4', 'http://127.0.0.1:' . $t->port('h2') . '/kafka/log?topic=h2');
    like($said, qr/200 succeeded/, 'h2load: 200 requests by HTTP/2, 4 at a time on each of 2 connections');
    taken(200);
}

# Several in a body: the answer is the last one's, and tells of those that are not stored.
for my $row (['/kafka/', 'kafka'], ['/disk/', 'disk']) {
    my ($path, $level) = @$row;
    for my $kind (['application/json', '[{"id":"%1$s-0"},{"id":"%1$s-1"},{"id":"%1$s-2"}]'], ['application/x-ndjson', "{\"id\":\"%1\$s-0\"}\n{\"id\":\"%1\$s-1\"}\n{\"id\":\"%1\$s-2\"}\n"]) {
        my $name = $level . length $kind->[0];
        my $answer = $t->post("${path}log?topic=several", sprintf($kind->[1], $name), headers => ['Content-Type' => $kind->[0]]);
        like("$answer->{status} $answer->{headers}{'sparkngin-receipt'}", qr/^204 \S+; ack=$level; count=3$/, "three as $kind->[0]: 204 at the level $level");
        is(scalar(grep { $_->{value} =~ /"id":"$name-\d"/ } $kafka->read('several')), 3, 'and all are in Kafka at that moment') if $level eq 'kafka';
        taken(3);
    }
    my $answer = $t->post("${path}log?topic=several", '[1,{"ip":"here"},2]', headers => ['Content-Type' => 'application/json']);
    like("$answer->{status} $answer->{headers}{'sparkngin-receipt'}", qr/^207 \S+; ack=$level; count=2$/, "one of three is none: 207 at the level $level");
    is_deeply([map { "$_->{index} $_->{status} $_->{field}" } @{ JSON::PP->new->decode($answer->{body}) }], ['1 400 ip'], 'and which');
    taken(2);
}

# In a subrequest.
is($t->get('/guarded/it')->{status}, 200, 'auth_request waits for its event, too');
taken();

# Kafka does not answer for a while.
{
    $kafka->freeze;
    my $answer = $t->get('/short/log?topic=late&data=late');
    like("$answer->{status} " . ack($answer), qr/^504 (?:ring|disk)$/, 'Kafka is away: 504 in time, with a receipt that says how far the event has come');
    like(why($answer), qr/it is kept and will arrive, do not send it again/, 'that says what becomes of it');
    my ($id) = $answer->{headers}{'sparkngin-receipt'} =~ /^([\w-]+);/;
    like($t->read_file('access.log'), qr{^/short/log\S* 504 late \Q$id\E$}m, '$sparkngin_status is late, $sparkngin_id is there');
    my $several = $t->post('/short/log?topic=late', '["late0",{"ip":"here"},"late1"]', headers => ['Content-Type' => 'application/json']);
    like("$several->{status} $several->{headers}{'sparkngin-receipt'}", qr/^504 \S+; ack=(?:ring|disk); count=2$/, 'several: 504, and how many are stored');
    my $told = JSON::PP->new->decode($several->{body});
    like($told->{error}, qr/those that are stored are kept and will arrive, do not send them again; what "errors" lists is not stored/, 'that says what becomes of them');
    is_deeply([map { "$_->{index} $_->{status} $_->{field}" } @{ $told->{errors} }], ['1 400 ip'], 'and which is not stored');
    taken(2);
    my $ring = $t->get('/sn/log?topic=late&data=meanwhile');
    is($ring->{status}, 204, 'the level ring waits for nobody');
    taken(2);

    # As many as may wait.
    my $before = $t->books->{in_ring};
    my @waiting = map ask("/kafka/log?topic=crowd&data=$_"), 1 .. 60;
    my @refused = poll(10, 'each waits, its event stored, or is refused', sub {
        my @done = grep readable($_), @waiting;
        return @done + $t->books->{in_ring} - $before == 60 && \@done;
    })->@*;
    my %waits = map { $_ => $_ } @waiting;
    delete @waits{@refused};
    my $crowd = keys %waits;
    ok($crowd >= 8 && $crowd <= 16, "sparkngin_max_pending 8: $crowd requests wait in the workers that they came to");
    my %status = map { my $answer = answer_of($_); $answer->{status} => $answer } @refused;
    is(join(' ', keys %status), 503, 'all others are answered 503');
    is($status{503}{headers}{'retry-after'}, 1, 'with Retry-After');
    is(why($status{503}), 'too many requests wait already', 'and the reason');

    # They leave: there is room for others.
    close $_ for values %waits;
    poll(10, 'nginx sees them leave', sub { $crowd <= (() = $t->read_file('access.log') =~ m{^/kafka/log\?topic=crowd\S* 499 stored}mg) });
    pass('clients that leave are noticed');
    my @others = map ask("/kafka/log?topic=others&data=$_"), 1 .. 4;
    is(scalar(grep readable($_, 0.3), @others), 0, 'and others can wait in their places');
    taken($crowd + 4);

    # A reload and a kill, and then Kafka is back.
    my @old = $t->workers;
    $t->reload(wait => 0);
    my @more = map ask("/kafka/log?topic=others&data=$_"), 5 .. 8;
    is(scalar(grep { alive($_) } @old), 2, 'after a reload the old workers stay with those who wait');
    taken(4);
    $kafka->thaw;
    is(join(' ', map { my $it = answer_of($_); "$it->{status} " . ack($it) } @others, @more), join(' ', ('204 kafka') x 8), 'Kafka is back: all are answered 204');
    poll(20, 'the old workers leave', sub { !grep { alive($_) } @old });
    pass('then the old workers leave');
    $t->drained;
    is(join(',', sort(in_kafka('late'))), 'late,late0,late1,meanwhile', 'what was answered 504 has arrived, and nothing else');
    is(scalar(in_kafka('crowd')), $crowd, 'and what clients did not wait for; what was refused is nowhere');
}

# The publisher's worker is killed while requests wait.
{
    $kafka->freeze;
    my $victim = poll(10, 'somebody publishes', sub { $t->publisher_worker });
    my @waiting = map ask("/kafka/log?topic=killed&data=$_"), 1 .. 8;
    poll(10, 'they wait', sub { $t->books->{in_ring} >= 8 });
    $t->kill9($victim);
    $kafka->thaw;
    my @answers = map { answer_of($_) } @waiting;
    my %status;
    $status{ $_->{status} }++ for @answers;
    is(($status{0} // 0) + ($status{204} // 0), 8, 'the publisher\'s worker killed: its own clients get no answer, the others 204');
    taken($status{204} // 0);
    $t->{totals}{unanswered} += $status{0} // 0;
    $t->drained;
    is(scalar(in_kafka('killed')), 8, 'all events are in Kafka');
}

# Workers that must not wait as long as their requests would.
{
    my $conf = $t->read_file('nginx.conf');
    $t->write_file('nginx.conf', $conf =~ s/worker_shutdown_timeout 10s/worker_shutdown_timeout 1s/r);
    $t->reload;
    $kafka->freeze;
    my @waiting = map ask("/kafka/log?topic=shut&data=$_"), 1 .. 8;
    poll(10, 'they wait', sub { $t->books->{in_ring} >= 8 });
    $t->reload;
    is(join(' ', map { answer_of($_)->{status} } @waiting), join(' ', (0) x 8), 'worker_shutdown_timeout: the connections are closed');
    $t->{totals}{unanswered} += 8;
    $kafka->thaw;
    $t->drained;
    is(scalar(in_kafka('shut')), 8, 'their events arrive');
    $t->write_file('nginx.conf', $conf =~ s/sparkngin_max_pending 8/sparkngin_max_pending 1000/r);
    $t->reload;
}

# Under load, a worker killed.
for my $level (qw(disk kafka)) {
    my $load = $t->load(rate => 1500, connections => 100, path => "/$level/log");
    $load->wait_more(1000);
    # Until another one publishes or syncs nobody is answered, so no successes are demanded at once.
    $t->kill9(($t->workers)[0]);
    $load->wait_more(2000);
    $t->audit($load, name => $level);
}

$t->close_books;

# A sync that fails. Nothing more is written to that file, another one takes the events, and what is in the first arrives.
{
    my $library = $t->path('fdatasync.so');
    my ($code, $said) = $t->run('cc', '-shared', '-fPIC', '-O2', '-o', $library, "$FindBin::Bin/lib/fdatasync.c");
    is($code, 0, 'our fdatasync is built') or diag($said);
    $t->stop;
    $t->start(env => { LD_PRELOAD => $library, FDATASYNC => $t->path('fdatasync') })->ready;
    poll(20, 'the subscriber is back', sub { $t->books->{connected} });
    is(ack($t->get('/disk/log?topic=failed&data=before')), 'disk', 'a sync that succeeds');
    my ($before) = $t->get('/sn/log?topic=failed&data=between')->{headers}{'sparkngin-receipt'} =~ /^(\w+)-/;
    $t->write_file('fdatasync.hang', '');
    my @disk = map ask("/disk/log?topic=failed&data=disk$_"), 1 .. 5;
    my @kafka = map ask("/kafka/log?topic=failed&data=kafka$_"), 1 .. 5;
    is(join(' ', map { my $it = answer_of($_); "$it->{status} " . ack($it) } @kafka), join(' ', ('204 kafka') x 5), 'the disk hangs: the level kafka does not wait for it');
    is(scalar(grep readable($_), @disk), 0, 'the level disk does');
    $t->write_file('fdatasync.fail', '');
    unlink $t->path('fdatasync.hang');
    my @answers = map { answer_of($_) } @disk;
    unlink $t->path('fdatasync.fail');
    is(join(' ', map { "$_->{status} " . ack($_) } @answers), join(' ', ('504 ring') x 5), 'it fails: 504, with the receipt of an event in the ring');
    is(why($answers[0]), 'the sync to the disk failed after the event was stored; it is kept and may arrive', 'that says so');
    $t->logged(qr/\[error\].*ring\.1" cannot be brought to the disk: Input\/output error/);
    my $after = poll(20, 'the level disk is there again', sub {
        my $answer = $t->get('/disk/log?topic=failed&data=after');
        return $answer->{status} == 204 && $answer;
    });
    isnt(($after->{headers}{'sparkngin-receipt'} =~ /^(\w+)-/)[0], $before, 'in another file, without a hand');
    poll(20, 'all of the first file arrives', sub { my %there = map { $_ => 1 } in_kafka('failed'); keys %there == 13 });
    my %there = map { $_ => 1 } in_kafka('failed');
    is(join(' ', sort keys %there), join(' ', 'after', 'before', 'between', (map "disk$_", 1 .. 5), map "kafka$_", 1 .. 5), 'also what was answered 504');
}

$t->finish;

sub connection {
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) // die "nginx does not answer\n";
}

# Sends a request, and does not wait for its answer.
sub ask {
    my ($target) = @_;
    my $socket = connection();
    syswrite $socket, "GET $target HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    return $socket;
}

sub readable { my ($socket, $seconds) = @_; return IO::Select->new($socket)->can_read($seconds // 0) }

sub answer_of {
    my ($socket) = @_;
    return $t->raw('', socket => $socket, timeout => 40);
}
