#!/usr/bin/perl
# Compressed bodies: gzip, deflate and zstd are stored as what they hold; a bomb, a truncated one, one with something
# behind it and an unknown coding are refused, each beside a twin that is taken; none troubles a worker.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Compress::Zlib ();
use Digest::MD5 'md5_hex';
use JSON::PP;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf('content-type') . ' client_max_body_size 4m; sparkngin_topic t;',
    server => <<'CONF',
        location /little/ { sparkngin_root_loc; sparkngin_limits body=70k ratio=10; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my (%want, $number);

sub gzip { return Compress::Zlib::memGzip($_[0]) }
sub zlib { return Compress::Zlib::compress($_[0], 9) }
sub deflate {
    my ($d) = Compress::Zlib::deflateInit(-WindowBits => -Compress::Zlib::MAX_WBITS(), -Level => 9);
    my ($first) = $d->deflate($_[0]);
    my ($rest) = $d->flush;
    return $first . $rest;
}
sub zstd {
    $t->write_file('plain', $_[0]);
    unlink $t->path('packed');
    my ($code, $text) = $t->run('zstd', '-q', '-19', '-o', $t->path('packed'), $t->path('plain'));
    die "zstd: $text" if $code;
    return $t->read_file('packed');
}

sub sends {
    my ($path, $body, @headers) = @_;
    my $id = 'c' . ++$number;
    return ($id, $t->post("$path?id=$id", $body, headers => [@headers]));
}

# Taken, and stored as `data`.
sub takes {
    my ($what, $data, $body, @headers) = @_;
    my ($id, $answer) = sends('/sn/log', $body, @headers);
    is($answer->{status}, 204, $what) or diag $answer->{raw};
    $want{$id} = [$what, $data];
}

sub refuses {
    my ($what, $path, $status, $error, $body, @headers) = @_;
    my ($id, $answer) = sends($path, $body, @headers);
    my $said = eval { JSON::PP->new->decode($answer->{body}) } // {};
    is($answer->{status}, $status, "$what: $status") or diag $answer->{raw};
    like($said->{error}, $error, '  and why');
    return $answer;
}

my @coding = (['gzip', \&gzip], ['x-gzip', \&gzip], ['deflate', \&zlib], ['deflate', \&deflate], ['zstd', \&zstd]);
my $text = join '', map { "line $_ of a text\n" } 1 .. 1000;
for my $coding (@coding) {
    my ($name, $pack) = @$coding;
    takes("$name, a text", $text, $pack->($text), 'Content-Encoding' => $name);
    my $cut = substr $pack->($text), 0, -5;
    refuses("$name, cut off", '/sn/log', 400, qr/^the body is not whole \w+ data: /, $cut, 'Content-Encoding' => $name);
    refuses("$name, and garbage", '/sn/log', 400, qr/^the body is not whole \w+ data: /, $pack->($text) . 'garbage', 'Content-Encoding' => $name);
    refuses("$name, and it is none", '/sn/log', 400, qr/^the body is not whole \w+ data: /, $text, 'Content-Encoding' => $name);
    my $bomb = $pack->("\0" x 30_000_000);
    my $answer = refuses("$name, a bomb", '/sn/log', 413, qr/once it is inflated, it must have (?:\d+ at most|at most \d+ times as many as came, or 65536)$/, $bomb, 'Content-Encoding' => uc $name);
}
takes('JSON', { a => [1] }, gzip('{"a":[1]}'), 'Content-Type' => 'application/json; charset=utf-8', 'Content-Encoding' => 'gzip');
takes('two members', 'one, two', gzip('one, ') . gzip('two'), 'Content-Encoding' => 'gzip');
takes('two frames', 'one, two', zstd('one, ') . zstd('two'), 'Content-Encoding' => 'zstd');
takes('identity', 'as it is', 'as it is', 'Content-Encoding' => 'identity');
takes('an empty header', 'as it is', 'as it is', 'Content-Encoding' => '');
takes('gzip and identity', 'packed', gzip('packed'), 'Content-Encoding' => 'identity, gzip');
takes('nothing, packed', undef, gzip(''), 'Content-Encoding' => 'gzip');
takes('gzip without the header, JSON', { b => 2 }, gzip('{"b":2}'), 'Content-Type' => 'application/json');
takes('gzip without the header, without a type', 'hidden', gzip('hidden'));
takes('gzip that is called identity is stored as it is', undef, gzip('kept'), 'Content-Encoding' => 'identity');
takes('a file that is gzip', undef, gzip('a file'), 'Content-Type' => 'application/gzip');
my $file = "c$number";
refuses('gzip without the header, cut off', '/sn/log', 400, qr/^the body is not whole gzip data/, substr(gzip('{}'), 0, 15), 'Content-Type' => 'application/json');
for my $name ('br', 'compress', 'gzip, gzip', 'gzip, br', 'text/plain') {
    my $answer = refuses("Content-Encoding: $name", '/sn/log', 415, qr/^the header must name one coding alone: gzip, deflate, zstd$/, gzip('x'), 'Content-Encoding' => $name);
    is($answer->{headers}{'accept-encoding'}, 'gzip, deflate, zstd', '  and what is taken');
}

# Caps: of the size, of the ratio, of the event.
refuses('an event beyond its largest', '/sn/log', 413, qr/^the body has 50000 bytes, the event must have 32768 at most/, gzip('y' x 50_000), 'Content-Encoding' => 'gzip');
my @random = map { join '', map chr(33 + rand 90), 1 .. 200 } 1 .. 400;
my $lines = join "\n", map '"' . s/["\\]/x/gr . '"', @random;
is($t->post('/little/log', gzip(substr $lines, 0, 203 * 300 - 1), headers => ['Content-Type' => 'application/x-ndjson', 'Content-Encoding' => 'gzip'])->{status}, 204, '300 events of 61 KB');
refuses('of 81 KB', '/little/log', 413, qr/^the body has more than 71680 bytes once it is inflated/, gzip($lines), 'Content-Type' => 'application/x-ndjson', 'Content-Encoding' => 'gzip');
my $blank = '[1' . ' ' x 69_000 . ']';
refuses('69 KB of 100 bytes, with a ratio of 10', '/little/log', 413, qr/^the body of \d+ bytes has more than 65536 once it is inflated, it must have at most 10 times as many as came, or 65536$/, gzip($blank), 'Content-Type' => 'application/json', 'Content-Encoding' => 'gzip');

# As real senders do: chunked and compressed, by HTTP/1.1.
my $batch = join '', map "{\"n\":$_}\n", 1 .. 500;
my $packed = gzip($batch);
my $chunks = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } $packed =~ /(.{1,300})/gs;
is($t->raw("POST /sn/log?id=chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n")->{status}, 204, '500 events, gzip and chunked');

my $total = keys(%want) + 300 + 500;
my @events = $tap->events($total);
is(scalar @events, $total, 'each is stored once, and nothing that was refused');
my %e = map { ($_->{id} // '') => $_ } @events;
for my $id (sort { substr($a, 1) <=> substr($b, 1) } keys %want) {
    my ($what, $data) = @{ $want{$id} };
    my $got = $e{$id}{data};
    ref $data ? is_deeply($got, $data, "stored: $what") : is($got && length $got > 100 ? md5_hex $got : $got, $data && length $data > 100 ? md5_hex $data : $data, "stored: $what");
}
is($e{$file}{'content-type'}, 'application/gzip', 'a payload of another type keeps that');
ok($e{$file}{data_base64}, 'and is as it came');
is_deeply([map { $e{"chunked-$_"}{data}{n} } 0 .. 499], [1 .. 500], 'stored: 500 events');

# A worker's memory after all of this.
for my $worker ($t->workers) {
    my ($peak) = $t->read_file("/proc/$worker/status") =~ /^VmHWM:\s*(\d+) kB/m;
    my ($shared) = $t->read_file("/proc/$worker/status") =~ /^RssShmem:\s*(\d+) kB/m;
    cmp_ok($peak, '<', 64 * 1024, "worker $worker had $peak KB at most, for bombs of 30 MB");
}
$t->finish;
