#!/usr/bin/perl
# Bad requests and bad places: each is refused in exact words, beside a twin that differs in nothing else and is taken;
# none leaves a record, none troubles a worker.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use JSON::PP;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf() . ' large_client_header_buffers 8 512k; client_max_body_size 1m;',
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my ($sent, $bad) = (0, 0);

# What is wrong, the request, its status, the error and the field; then the request's twin.
my $encoding = sub { qq(parameter "$_[0]" has a bad percent-encoding at byte $_[1] of the query, it must be "%" and two hex digits) };
my $is_no_topic = sub { qq(topic "$_[0]" is not the name of a topic, it must be 1 to 249 of a-z A-Z 0-9 . _ -, not "." or "..", and not start with "__") };
my $no_time = sub { qq(timestamp "$_[0]" cannot be read, it must be s, ms or us since 1970, or RFC 3339 from 1970 to 9999) };
my $no_address = sub { qq(ip "$_[0]" is not an address, it must be IPv4 or IPv6 without port, prefix or zone) };
my $x = 'x' x 40_000;
my $many = sub { join '&', 'topic=a', map "p$_=$_", 1 .. $_[0] };
my $deep = sub { ('{"a":' x $_[0]) . 1 . ('}' x $_[0]) };
my @json = (headers => ['Content-Type' => 'application/json']);

my @rows = (
    ['a cut percent-encoding', ['/sn/log?topic=a&data=%4'], 400, $encoding->('data', 13), 'data', ['/sn/log?topic=a&data=%41']],
    ['a bad percent-encoding', ['/sn/log?topic=a&data=%zz'], 400, $encoding->('data', 13), 'data', ['/sn/log?topic=a&data=%2f']],
    ['one in a name', ['/sn/log?topic=a&b%q=1'], 400, $encoding->('b%q', 9), 'b%q', ['/sn/log?topic=a&b%20=1']],
    ['no topic', ['/sn/log?data=a'], 400, 'there is no topic, the parameter "topic" must name one', 'topic', ['/sn/log?data=a&topic=a']],
    ['no query at all', ['/sn/log'], 400, 'there is no topic, the parameter "topic" must name one', 'topic', ['/sn/log?topic=a']],
    ['an empty topic', ['/sn/log?topic='], 400, qr/topic/, 'topic', ['/sn/log?topic=-']],
    ['a topic with a slash', ['/sn/log?topic=a/b'], 400, $is_no_topic->('a/b'), 'topic', ['/sn/log?topic=a.b']],
    ['a topic with a quote', ['/sn/log?topic=%22'], 400, $is_no_topic->('\\x22'), 'topic', ['/sn/log?topic=%41']],
    ['a topic of two dots', ['/sn/log?topic=..'], 400, $is_no_topic->('..'), 'topic', ['/sn/log?topic=...']],
    ['a topic of Kafka itself', ['/sn/log?topic=__a'], 400, $is_no_topic->('__a'), 'topic', ['/sn/log?topic=_a']],
    ['a long topic', ['/sn/log?topic=' . 't' x 250], 400, $is_no_topic->('t' x 64 . '...'), 'topic', ['/sn/log?topic=' . 't' x 249]],
    ['a topic with NUL', ['/sn/log?topic=a%00'], 400, $is_no_topic->('a\\x00'), 'topic', ['/sn/log?topic=a&data=%00']],
    ['a topic with a line feed', ['/sn/log?topic=%0Aa'], 400, $is_no_topic->('\\x0Aa'), 'topic', ['/sn/log?topic=a&data=%0A%0D%1B%7F']],
    ['a topic that is not UTF-8', ['/sn/log?topic=%FF'], 400, $is_no_topic->('\\xFF'), 'topic', ['/sn/log?topic=a&x=%FF']],
    ['a name with NUL', ['/sn/log?topic=a&n%00=1'], 400,
        'parameter "n\\x00" has a name that is no field\'s, it must be 1 to 255 bytes of UTF-8 without control characters', 'n\\x00', ['/sn/log?topic=a&n=%00']],
    ['a name that is not UTF-8', ['/sn/log?topic=a&%ff=1'], 400, qr/^parameter "\\xFF" has a name that is no field's/, '\\xFF', ['/sn/log?topic=a&%c3%bf=1']],
    ['a bad timestamp', ['/sn/log?topic=a&timestamp=yesterday'], 400, $no_time->('yesterday'), 'timestamp', ['/sn/log?topic=a&timestamp=1700000000']],
    ['a negative timestamp', ['/sn/log?topic=a&timestamp=-5'], 400, $no_time->('-5'), 'timestamp', ['/sn/log?topic=a&timestamp=5']],
    ['a day that is none', ['/sn/log?topic=a&timestamp=2023-02-29T00:00:00Z'], 400, $no_time->('2023-02-29T00:00:00Z'), 'timestamp',
        ['/sn/log?topic=a&timestamp=2024-02-29T00:00:00Z']],
    ['the server\'s own time', ['/sn/log?topic=a&time_stamp=5'], 400, 'parameter "time_stamp" is the server\'s own, it must have another name', 'time_stamp',
        ['/sn/log?topic=a&timestamp=5']],
    ['a bad address', ['/sn/log?topic=a&ip=1.2.3'], 400, $no_address->('1.2.3'), 'ip', ['/sn/log?topic=a&ip=1.2.3.4']],
    ['an address with a port', ['/sn/log?topic=a&ip=[::1]:80'], 400, $no_address->('[::1]:80'), 'ip', ['/sn/log?topic=a&ip=::1']],
    ['two payloads', ['/sn/log?topic=a&data=1', 'body'], 400, 'there are two payloads, it must be one: the body, or one parameter "data" (or "log")', 'data',
        ['/sn/log?topic=a&x=1', 'body']],
    ['JSON that is none', ['/sn/log?topic=a', '{"a": }', @json], 400, 'the body is not the JSON that its type says, at line 1 column 7 there must be a value', 'data',
        ['/sn/log?topic=a', '{"a": 0}', @json]],
    ['JSON, nested deep', ['/sn/log?topic=a', $deep->(101), @json], 400, 'the JSON of the body is nested deeper than 100 at line 1 column 501, it must be 100 at most', 'data',
        ['/sn/log?topic=a', $deep->(100), @json]],
    ['an event of 40 KB by GET', ["/sn/log?topic=a&data=$x"], 413, qr/^the event has 40\d\d\d bytes as it would be stored, it must be 32768 at most$/, undef,
        ['/sn/log?topic=a&data=' . substr $x, 0, 30_000]],
    ['an event of 40 KB by POST', ['/sn/log?topic=a', $x], 413, 'the body has 40000 bytes, the event must have 32768 at most as it would be stored', 'data',
        ['/sn/log?topic=a', substr $x, 0, 30_000]],
    ['an event of 32,768 bytes of body', ['/sn/log?topic=a', substr $x, 0, 32_768], 413, qr/^the event has 32\d\d\d bytes as it would be stored, it must be 32768 at most$/, undef,
        ['/sn/log?topic=a', substr $x, 0, 32_700]],
    ['10,000 parameters', ['/sn/log?' . $many->(10_000)], 400, 'there are more than 1024 custom fields, it must be 1024 at most', undef,
        ['/sn/log?' . $many->(1_000)]],
);

sub ask {
    my ($target, $body, @more) = @{ $_[0] };
    return defined $body ? $t->post($target, $body, @more) : $t->get($target, @more);
}

for my $row (@rows) {
    my ($what, $wrong, $status, $error, $field, $twin) = @$row;
    my $answer = ask($wrong);
    my $json = eval { JSON::PP->new->utf8->decode($answer->{body}) } // {};
    is($answer->{status}, $status, "$what: $status") or diag $answer->{raw};
    ref $error ? like($json->{error}, $error, '  and why') : is($json->{error}, $error, '  and why');
    is($json->{field}, $field, '  and which field');
    is_deeply([@{ $answer->{headers} }{qw(cache-control content-type)}, sort keys %$json], ['no-store', 'application/json', 'error', 'field'], '  as one object that nobody keeps');
    is(ask($twin)->{status}, 204, '  its twin is taken');
    $sent++;
    $bad++;
}

# Methods and paths.
for my $row (
    [HEAD => '/sn/log?topic=a', 405, 'GET, POST', GET => 204], [PUT => '/sn/log?topic=a', 405, 'GET, POST', POST => 204],
    [DELETE => '/sn/log?topic=a', 405, 'GET, POST', GET => 204], [OPTIONS => '/sn/log?topic=a', 405, 'GET, POST', GET => 204],
    [BREW => '/sn/log?topic=a', 405, 'GET, POST', GET => 204], [POST => '/sn/status', 405, 'GET', GET => 200],
    [HEAD => '/sn/status', 405, 'GET', GET => 200], [POST => '/sn/stat', 405, 'GET', GET => 200], [PUT => '/sn/imok', 405, 'GET', GET => 200],
    [HEAD => '/sn/imok', 405, 'GET', GET => 200], [GET => '/sn/nothing', 404, undef, GET => 0], [POST => '/sn/', 404, undef, GET => 0],
) {
    my ($method, $target, $status, $allow, $right, $then) = @$row;
    my $answer = $t->request($method, $target, $method =~ /^P/ ? (body => 'x' x 100_000) : ());
    is($answer->{status}, $status, "$method $target: $status");
    is($answer->{headers}{allow}, $allow, '  Allow says what to use');
    is($answer->{headers}{'cache-control'}, 'no-store', '  nobody keeps it');
    is(length $answer->{body} > 0, $method ne 'HEAD', '  with a body but to HEAD');
    next if !$then;
    is($t->request($right, $target)->{status}, $then, "  $right is taken");
    $sent += $then == 204;
}

# What nginx itself answers before us.
is($t->raw("GET /sn/log?topic=a\x01 HTTP/1.1\r\nHost: a\r\n\r\n")->{status}, 400, 'a control byte in the request line: nginx\'s own 400');
is($t->post('/sn/log?topic=a', 'x' x 1_100_000)->{status}, 413, 'above client_max_body_size: nginx\'s own 413');
is($t->get('/sn/log?topic=a&' . 'x' x 600_000)->{status}, 414, 'above large_client_header_buffers: nginx\'s own 414');

# Bytes of clients in error.log. A line says what the first was that it counts, so those before are told first.
{
    my $counted = sub { my $sum = 0; $sum += $_ for $t->error_log =~ /(\d+) events? refused as not valid/g; $sum };
    poll(10, 'each refusal is counted in some line', sub { $counted->() >= $bad });
    $t->get('/sn/log?topic=' . '%1B%5B31m' . '%E2%82%AC' x 60) for 1 .. 3;
    $t->logged(qr/\d+ events? refused as not valid, the first: topic "(?:\\x1B\[31m|...)/);
    my @lines = grep { /sparkngin: / } split /\n/, $t->error_log;
    is(scalar(grep { /[^\x20-\x7e]/ } @lines), 0, 'client bytes are in error.log as \xHH alone');
    cmp_ok(scalar(grep { /refused as not valid/ } @lines), '<=', 60, 'and by far not a line for each');
    poll(10, 'those three, too', sub { $counted->() >= $bad + 3 });
    is($counted->(), $bad + 3, 'every refusal is counted there');
    pause_until(time + 2);    # then the next one is told at once, and those that follow together
    my @three = map { "GET /sn/log?topic=__$_ HTTP/1.1\r\nHost: a\r\n\r\n" } qw(alone one two);
    $t->raw(join '', @three);
    my $line = '%s refused as not valid, the first: topic "__%s"';
    $t->logged(qr/\d events? refused as not valid, the first: topic "__(?:one|two)"/);
    for my $wanted (sprintf($line, '1 event', 'alone'), sprintf($line, '2 events', 'one')) {
        like($t->error_log, qr/\Q$wanted\E/, "error.log: $wanted");
    }
}

# Nonsense of every kind: an answer of ours or nginx's to each, and a record for each success.
{
    my $seed = $ENV{SEED} // int rand 2**31;
    note("SEED=$seed");
    srand $seed;
    my @workers = $t->workers;
    my @pieces = (qw(topic= topic=a data= log= timestamp= ip= id= x %00 %ff %2 % & = + ; ? / .. "), "\xff", "\xc3\xa9", '%C3%A9', '[', '{', '0', '-', 'a' x 300);
    my $nonsense = sub { join '', map { $pieces[rand @pieces] } 1 .. 1 + rand $_[0] };
    my @types = ('application/json', 'text/plain', 'application/x+json;', 'application/octet-stream', "\xff", '');
    my %seen;
    for (1 .. 400) {
        my $target = '/sn/log?' . (rand() < 0.5 ? 'topic=a&' : '') . $nonsense->(8);
        my @headers = (headers => ['Content-Type' => $types[rand @types], Cookie => $nonsense->(4), 'User-Agent' => $nonsense->(4)]);
        my $answer = rand() < 0.5 ? $t->get($target, @headers) : $t->post($target, $nonsense->(20), @headers);
        $seen{ $answer->{status} }++;
    }
    is(join(' ', grep { !/^(?:204|400)$/ } sort keys %seen), '', '400 requests of nonsense: 204 or 400 to each');
    cmp_ok($seen{204} // 0, '>', 0, 'some of them events');
    is_deeply([$t->workers], \@workers, 'and no worker the worse for it');
    $sent += $seen{204} // 0;
}
my $last = $t->get('/sn/log?topic=last&id=last');
my @events = $tap->events(++$sent);
is(scalar @events, $sent, 'no refused event left a record');
is_deeply([grep { $_->{topic} eq 'last' } @events], [$events[-1]], 'and workers go on as before');
$tap->stop;
$t->stop;

# Places. A directory that a worker cannot use is told, /log answers 503, and goes on by itself when it can be used.
sub away {
    my ($why, $what) = @_;
    poll(10, 'both workers have tried', sub { 2 == (() = $t->error_log =~ /events are answered with 503: /g) });
    my $answer = $t->get('/sn/log?topic=a');
    is($answer->{status}, 503, "$what: 503");
    is($answer->{headers}{'retry-after'}, 1, '  to be tried again');
    is(JSON::PP->new->decode($answer->{body})->{error}, 'the ring cannot be opened, error.log says why', '  and in general words why');
    my $health = $t->get('/sn/imok');
    is("$health->{status} $health->{body}", "503 the ring cannot be opened, error.log says why\n", '  the health says so');
    is($t->status->{ring}, undef, '  the status has no ring to show');
    like($t->error_log, $why, '  error.log says what is wrong');
}

sub back {
    my ($what) = @_;
    $t->ready;
    is($t->get('/sn/log?topic=a')->{status}, 204, "$what: taken again, nobody restarted anything");
}

{
    $t->write_file('error.log', '');
    $t->conf(http => 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/odd;', location => 'sparkngin_root_loc;');
    my ($code) = $t->check;
    is($code, 0, 'a directory in whose place of the lock there is something else');
    mkdir $t->path('odd/lock') or die;
    $t->start;
    away(qr/sparkngin: events are answered with 503: "\S+\/odd" cannot be used for the ring/, 'no lock');
    rmdir $t->path('odd/lock') or die;
    back('a lock');
    $t->stop;
}

SKIP: {
    skip 'mounts need root', 18 if $> != 0;
    my $place = $t->path('mounted');
    mkdir $place;
    my $mount = sub { system(@_) == 0 or die "@_\n" };
    my $unmount = sub { system 'umount', '-l', $place };
    eval {
        $t->write_file('error.log', '');
        $mount->('mount', '-t', 'tmpfs', '-o', 'size=1m,mode=755', 'none', $place);
        mkdir "$place/ring", 0700;
        chown scalar getpwnam('www-data'), -1, "$place/ring";
        $t->conf(http => 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/mounted/ring;', location => 'sparkngin_root_loc;');
        $t->start;
        away(qr/no room in "\S+" for a ring's file of \d+ bytes: .*No space left on device/, 'a full directory');
        is(join(',', glob "$place/ring/ring.*"), '', '  and no half of a file');
        $mount->('mount', '-o', 'remount,size=16m', $place);
        back('room');
        $t->stop;
        $t->write_file('error.log', '');
        unlink glob "$place/ring/*";
        $mount->('mount', '-o', 'remount,ro', $place);
        $t->start;
        away(qr/cannot be used for the ring, it must be a directory that this process may write to: Read-only file system/, 'an unwritable directory');
        $mount->('mount', '-o', 'remount,rw', $place);
        back('writable');
        $t->stop;
        1;
    } or fail("mounts: $@");
    $unmount->();
}

# nginx does not publish, and nobody else does: error.log has no word of that, so none points there.
{
    $t->conf(http => 'sparkngin_listen off; sparkngin_buf_path %%DIR%%/off;', location => 'sparkngin_root_loc;');
    $t->start->ready;
    is(join(' ', @{ $t->status->{wrong} }), 'Nobody publishes: start `sparkngin publish`.', 'sparkngin_listen off, and no publisher: what to start');
    like($t->get('/sn/imok')->{body}, qr/^imok\naway: publisher$/m, '/imok says who is away');
    $t->stop;
}

# A port in use: events are taken; live messages come as soon as it is free.
{
    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $t->port('live'), Listen => 1, ReuseAddr => 1) or die "listen: $!";
    $t->conf(http => Sparkngin::Tap::conf() =~ s/ring;/busy;/r, location => 'sparkngin_root_loc;');
    $t->start->ready;
    is($t->get('/sn/log?topic=a&id=early')->{status}, 204, 'an event is taken while the live port is in use');
    my $says = qr/sparkngin: live cannot listen on tcp:\/\/127\.0\.0\.1:\d+: the address is in use; trying again/;
    $t->logged($says);
    is(scalar(() = $t->error_log =~ /$says/g), 1, 'which is told, once');
    my $health = sub { $t->get('/sn/imok') };
    my $deaf = qr/^not live: the address of live in "sparkngin_listen" cannot be listened at for \d+ s, error\.log says why$/m;
    Sparkngin::poll(20, '/imok says it', sub { $health->()->{body} =~ $deaf });
    is($health->()->{status}, 200, 'and stays well: an event sent now is taken');
    my $seen = $t->status;
    like($seen->{live}{deaf_ms}, qr/^\d+$/, '/status says it, too');
    like($seen->{wrong}[0], qr/^Nobody can read live: its address cannot be listened at for .+, error\.log says why\.$/, 'and what is wrong');
    close $taken;
    unlink $t->path('tap.out');
    my ($event) = Sparkngin::Tap->new($t)->events(1);
    is($event->{id}, 'early', 'and delivered when it is free');
    Sparkngin::poll(20, '/imok says nothing of it any more', sub { $health->()->{body} !~ /live/ });
    is($t->status->{live}{deaf_ms}, undef, 'nor does /status');
    $t->stop;
}

# The feed's directory is missing: subscribers cannot connect, and it is told why.
{
    $t->conf(http => 'sparkngin_listen %%PORT_live%% feed=unix:%%DIR%%/later/feed.sock; sparkngin_buf_path %%DIR%%/unfed; sparkngin_subscriber kafka;', location => 'sparkngin_root_loc;');
    $t->start->ready;
    my $deaf = qr/^not fed: the address of the feed in "sparkngin_listen" cannot be listened at for \d+ s, error\.log says why$/m;
    Sparkngin::poll(20, '/imok says it', sub { $t->get('/sn/imok')->{body} =~ $deaf });
    $t->logged(qr/sparkngin: the feed cannot listen on ipc:\S+later\/feed\.sock: .*; trying again/);
    my $seen = $t->status;
    like($seen->{publisher}{feed_deaf_ms}, qr/^\d+$/, 'a feed that cannot listen: /status says it');
    like($seen->{wrong}[0], qr/^Subscribers cannot connect: the feed's address cannot be listened at for .+, error\.log says why\.$/, 'and what is wrong');
    mkdir $t->path('later') or die "mkdir: $!";
    chown((getpwnam 'www-data')[2, 3], $t->path('later')) if $> == 0;
    Sparkngin::poll(20, '/imok says nothing of it any more', sub { $t->get('/sn/imok')->{body} !~ /fed/ });
    is($t->status->{publisher}{feed_deaf_ms}, undef, 'nor does /status');
    $t->stop;
}

$t->finish;
