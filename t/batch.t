#!/usr/bin/perl
# Several events in one body, a JSON array, NDJSON or a JSON sequence: each is stored as if it had come alone, in order;
# what is wrong with one is told by its index, and the others are kept.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new;
$t->conf(
    workers => 1,
    http => Sparkngin::Tap::conf() . ' sparkngin_receipt on; client_max_body_size 3m; log_format seen "$uri $status $sparkngin_status $sparkngin_id";',
    server => <<'CONF',
        access_log %%DIR%%/access.log seen;
        location /few/ {
            sparkngin_root_loc; sparkngin_topic few; sparkngin_limits batch=3 depth=3 value=8;
            location /few/short/ { sparkngin_root_loc; sparkngin_limits body=1k; }
        }
        location /disk/ { sparkngin_root_loc; sparkngin_ack disk; }
CONF
    location => 'sparkngin_root_loc; sparkngin_topic default;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my @want;    # each event that has to be there, in order: topic, id, data

my %type = (array => 'application/json', lines => 'application/x-ndjson', sequence => 'application/json-seq');
my %join = (
    array => sub { '[' . join(",\n ", @_) . "]\n" }, lines => sub { join '', map "$_\n", @_ },
    sequence => sub { join '', map "\x1E$_\n", @_ },
);

sub send_as {
    my ($framing, $query, @elements) = @_;
    return $t->post("/sn/log$query", $join{$framing}->(@elements), headers => ['Content-Type' => $type{$framing}]);
}
sub errors { my ($answer) = @_; return eval { $json->decode($answer->{body}) } // [] }
sub want { push @want, map { [@$_] } @_ }

# All good.
for my $framing (sort keys %type) {
    my $answer = send_as($framing, "?topic=t&id=$framing", '{"n": 1.0}', '{"id":"own","topic":"else"}', '[1, 2]', '"text"', 'null');
    is("$answer->{status} $answer->{body}", '204 ', "$framing: 204 when all are good");
    like($answer->{headers}{'sparkngin-receipt'}, qr/^[0-9a-f]{32}-\d+-\d+; ack=ring; count=5$/, '  the receipt of the first, and how many');
    want(['t', "$framing-0", { n => 1 }], ['t', 'own', { id => 'own', topic => 'else' }], map ['t', "$framing-$_->[0]", $_->[1]], [2, [1, 2]], [3, 'text'], [4, undef]);
}
like($t->post('/sn/log?id=one', '[{"a":1}]', headers => ['Content-Type' => 'application/json'])->{headers}{'sparkngin-receipt'}, qr/; ack=ring$/,
    'a batch of one: the receipt of one event');
want(['default', 'one-0', { a => 1 }]);
for my $kind (['text/plain;charset=UTF-8'], ['application/x-www-form-urlencoded'], []) {
    my @headers = map { (headers => ['Content-Type' => $_]) } @$kind;
    is($t->post('/sn/log?id=beacon', '[{"a":1},{"a":2}]', @headers)->{status}, 204, 'an array as ' . ($kind->[0] // 'nothing'));
    want(['default', 'beacon-0', { a => 1 }], ['default', 'beacon-1', { a => 2 }]);
}
is($t->post('/sn/log?id=text', "[info] started", headers => ['Content-Type' => 'text/plain'])->{status}, 204, 'a text that begins like an array');
want(['default', 'text', '[info] started']);
for my $kind ('application/jsonl', 'Application/NDJSON; charset=utf-8', 'text/x-ndjson') {
    is($t->post('/sn/log?id=l', "{}\r\n\r\n[]\n\n7", headers => ['Content-Type' => $kind])->{status}, 204, "$kind, empty lines between");
    want(['default', 'l-0', {}], ['default', 'l-1', []], ['default', 'l-2', 7]);
}

# Some bad.
{
    my $answer = send_as('array', '?topic=', '{"topic":"x"}', '{}');
    is($answer->{status}, 400, 'an empty topic of the query: for all of them');
    $answer = send_as('lines', '?id=some', '{"a":1}', '{"a":', '{"topic":"a b"}', '{"a":2}', '{"timestamp":"x"}', '"' . 'x' x 40_000 . '"');
    is($answer->{status}, 207, 'some bad: 207');
    is_deeply([@{ $answer->{headers} }{qw(content-type cache-control)}], ['application/json', 'no-store'], '  as JSON that nobody keeps');
    like($answer->{headers}{'sparkngin-receipt'}, qr/; count=2$/, '  the receipt counts those that are stored');
    my $errors = errors($answer);
    is_deeply([map { [@$_{qw(index status field)}] } @$errors], [[1, 400, 'data'], [2, 400, 'topic'], [4, 400, 'timestamp'], [5, 413, undef]],
        '  a list of the others: index, status, field');
    like($errors->[0]{error}, qr/at line 2 column 6 there must be a value$/, '  and why, by the line of the body');
    like($errors->[1]{error}, qr/^topic "a b" is not the name of a topic/, '  and why');
    want(['default', 'some-0', { a => 1 }], ['default', 'some-3', { a => 2 }]);
    for my $framing ('array', 'sequence') {
        $answer = send_as($framing, '', '{"ip":"1.2.3.4","id":"good"}', '{"ip":"here"}');
        is_deeply([$answer->{status}, map $_->{index}, @{ errors($answer) }], [207, 1], "$framing: 207");
        want(['default', 'good', { ip => '1.2.3.4', id => 'good' }]);
    }
    $answer = $t->post('/sn/log', "\x1E1\x1E{\"id\":\"whole\"}", headers => ['Content-Type' => 'application/json-seq']);
    is_deeply([$answer->{status}, map $_->{error}, @{ errors($answer) }], [207, 'the text may be cut off, it must end with a line feed'], 'a number that may be cut off');
    want(['default', 'whole', { id => 'whole' }]);
}

# None good: nothing is stored.
for my $row (
    ['no event is good', lines => "{\n}\n", 400, 'data', qr/^no event is stored: 2 events of one body, the first: the body is not the JSON/],
    ['one, and it is not good', array => '[{"ip":1}]', 400, 'ip', qr/^no event is stored: ip "1" is not an address/],
    ['all too large', array => '["' . 'x' x 40_000 . '"]', 413, undef, qr/^no event is stored: the event has 40\d+ bytes/],
    ['an empty array', array => '[ ]', 400, undef, qr/^there is no event in the body/],
    ['no line', lines => "\n \n", 400, undef, qr/^there is no event in the body/],
    ['no body', lines => '', 400, undef, qr/^there is no event in the body/],
    ['no text', sequence => "\x1E", 400, undef, qr/^there is no event in the body/],
    ['an array that ends too early', array => '[{},{}', 400, 'data', qr/at line 1 column 7 there must be a "," or "\]"/],
    ['an array and something', array => '[{}] {}', 400, 'data', qr/there must be the end/],
    ['two payloads', array => '[{}]', 400, 'data', qr/^there are two payloads/, '?data=x'],
    ['bad percent-encoding', array => '[{}]', 400, 'a', qr/bad percent-encoding/, '?a=%x'],
) {
    my ($what, $framing, $body, $status, $field, $error, $query) = @$row;
    my $answer = $t->post('/sn/log' . ($query // ''), $body, headers => ['Content-Type' => $type{$framing}]);
    my $said = eval { $json->decode($answer->{body}) } // {};
    is("$answer->{status} " . ($said->{field} // '-'), "$status " . ($field // '-'), "$what: $status");
    like($said->{error}, $error, '  and why');
}

# Limits, each beside one less.
for my $row (
    ['3 events of 3', '/few/log', '[1,2,3]', 204, 3], ['4 events', '/few/log', '[1,2,3,4]', 413, 'the body has more than 3 events, it must have 3 at most'],
    ['a depth of 3', '/few/log', '[[[[1]]]]', 204, 1], ['of 4', '/few/log', '[[[[[1]]]]]', 400, 'no event is stored: the JSON of the body is nested deeper than 3 at line 1 column 5, it must be 3 at most'],
    ['a value of 8 bytes', '/few/log?a=12345678', '[1]', 204, 1], ['of 9', '/few/log?a=123456789', '[1]', 413, 'parameter "a" has 9 bytes, it must have 8 at most'],
    ['inherited one by one', '/few/short/log', '[1,2,3]', 204, 3], ['and exceeded', '/few/short/log', '[1,2,3,4]', 413, 'the body has more than 3 events, it must have 3 at most'],
    ['a body of 1024 bytes', '/few/short/log', '[1]' . ' ' x 1021, 204, 1], ['of 1025', '/few/short/log', '[1]' . ' ' x 1022, 413, 'the body has 1025 bytes, it must have 1024 at most'],
) {
    my ($what, $target, $body, $status, $then) = @$row;
    my $answer = $t->post($target, $body, headers => ['Content-Type' => 'application/json']);
    is($answer->{status}, $status, "$what: $status") or diag $answer->{raw};
    if ($status == 204) { want(map ['few', undef, $_], @{ $json->decode($body) }) }
    else { is($json->decode($answer->{body})->{error}, $then, '  and why') }
}
for my $kind ('application/json', 'text/plain') {
    my $answer = $t->post('/few/log?id=deep', '[1,[[[[{"a":"]"}]]]],2]', headers => ['Content-Type' => $kind]);
    is_deeply([$answer->{status}, map { "$_->{index} $_->{status} $_->{field}" } @{ errors($answer) }], [207, '1 400 data'], "$kind: an element that is too deep is refused alone");
    want(['few', 'deep-0', 1], ['few', 'deep-2', 2]);
}
# What 1,000 events of a long query would be in the ring is bounded, too.
is($t->post('/sn/log?topic=t&a=' . 'x' x 6_000, '[' . join(',', (1) x 1000) . ']', headers => ['Content-Type' => 'application/json'])->{status}, 413,
    'a small body that would be large in the ring');

# Levels: the answer is the last event's.
for my $framing ('array', 'lines') {
    my $answer = $t->post('/disk/log?topic=disk', $join{$framing}->(1, 2, 3), headers => ['Content-Type' => $type{$framing}]);
    like("$answer->{status} $answer->{headers}{'sparkngin-receipt'}", qr/^204 \S+; ack=disk; count=3$/, "$framing: on the disk");
    want(map ['disk', undef, $_], 1 .. 3);
}
{
    my $answer = $t->post('/disk/log', '[{"topic":"disk"},{"topic":""},{"topic":"disk"}]', headers => ['Content-Type' => 'application/json']);
    like("$answer->{status} $answer->{headers}{'sparkngin-receipt'}", qr/^207 \S+; ack=disk; count=2$/, 'some bad, the others on the disk');
    is_deeply([map $_->{index}, @{ errors($answer) }], [1], '  and the list is there after the wait');
    want((['disk', undef, { topic => 'disk' }]) x 2);
}

# Large, through a temporary file, in several commits.
my @large = map { sprintf '{"id":"g%d","data":"%s"}', $_, 'x' x (100 + $_ % 700) } 1 .. 1000;
is(send_as('lines', '?topic=large', @large)->{status}, 204, '1,000 events of 550 KB');
want(map ['large', $_->{id}, $_], map $json->decode($_), @large);

my @events = $tap->events(scalar @want, 30);
is(scalar @events, scalar @want, 'each good event is stored once, and none else');
for my $n (0 .. $#want) {
    my ($topic, $id, $data) = @{ $want[$n] };
    my $got = $events[$n];
    next if $got->{topic} eq $topic && ($got->{id} // '') eq ($id // '') && $json->encode([$got->{data}]) eq $json->encode([$data]);
    is_deeply([@$got{qw(topic id data)}], [$topic, $id, $data], "event $n is as it was sent, in its place");
    last;
}
my @seq = map { $_->{sg} =~ /-(\d+)$/ } @events;
is_deeply(\@seq, [1 .. @want], 'in the order of the bodies');
my %seen;
my $log = $t->read_file('access.log');
$seen{$1}++ while $log =~ m{^/\S+ \d+ (\w+) }mg;
is(join(' ', sort keys %seen), 'invalid large partial stored', '$sparkngin_status of each');
$tap->stop;
$t->stop;

# A ring that is full in the middle of a body: the first are kept, the others may come again.
$t->conf(
    workers => 1,
    http => 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/full; sparkngin_buf_size 256k; sparkngin_subscriber kafka; client_max_body_size 3m;',
    location => 'sparkngin_root_loc; sparkngin_topic full; sparkngin_limits body=2m;',
);
$t->start->ready;
{
    my @batch = map { sprintf '{"id":"f%d","data":"%s"}', $_, 'y' x 1500 } 1 .. 400;
    my $answer = send_as('array', '', @batch);
    is($answer->{status}, 207, 'full in the middle: 207');
    my $errors = errors($answer);
    my $kept = 400 - @$errors;
    cmp_ok($kept, '>', 100, "  $kept are kept");
    is_deeply([map { "$_->{index} $_->{status} $_->{error}" } @$errors], [map "$_ 503 the ring is full", $kept .. 399], '  the others are told, to come again');
    $answer = send_as('array', '', @batch);
    is("$answer->{status} " . ($answer->{headers}{'retry-after'} // ''), '503 1', 'full from the beginning: 503 as for one');
    my $said = errors($answer);
    is("$said->{error}", 'the ring is full', '  and why');
    is_deeply([map { "$_->{index} $_->{status} $_->{error}" } @{ $said->{errors} }], [map "$_ 503 the ring is full", 0 .. 399], '  and the list of all, to come again');
    for my $row (['one event', array => 503, '0 503', '{}'], ['some bad', lines => 503, '0 503,1 400,2 503', '{}', '{', '{}'], ['all bad', sequence => 400, '0 400', '{']) {
        my ($what, $framing, $status, $list, @elements) = @$row;
        $answer = send_as($framing, '', @elements);
        $said = errors($answer);
        is(join(' ', $answer->{status}, join ',', map { "$_->{index} $_->{status}" } @{ $said->{errors} }), "$status $list", "$what in a $framing: each is listed, in order");
    }
    ok(!exists errors($t->get('/sn/log?data=one'))->{errors}, 'one event alone has no list');
    my $refused;
    Sparkngin::poll(30, 'error.log counts events, not bodies', sub {
        my $log = $t->error_log;
        $refused = 0;
        $refused += $1 while $log =~ /sparkngin: (\d+) events? refused: the ring is full/g;
        return $refused >= 400 - $kept + 400 + 4;
    });
    is($refused, 400 - $kept + 400 + 1 + 2 + 1, 'error.log counts each event that found no room');
    my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'ring', 'dump', $t->path('full'));
    my @ids = map { eval { $json->decode($_)->{event}{id} } // () } grep { /^\{/ } split /\n/, $text;
    is_deeply(\@ids, [map "f$_", 1 .. $kept], '  and the ring holds just those') or diag substr $text, 0, 500;
}
$t->finish;
