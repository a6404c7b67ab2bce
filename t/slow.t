#!/usr/bin/perl
# Bodies that come byte by byte, and bodies that end too early: the former are stored as they are, while the one worker
# answers others; of the latter nothing is stored, of several events in them neither, and no temporary file is left.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Compress::Zlib ();
use IO::Socket::INET;
use JSON::PP;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER);
use Sparkngin;
use Test::More;
use Time::HiRes 'time';

my $t = Sparkngin->new;
$t->conf(
    workers => 1,
    http => 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/ring; log_format seen "$arg_id $status $sparkngin_status";',
    server => <<'CONF',
        listen 127.0.0.1:%%PORT_h2%% http2;
        access_log %%DIR%%/access.log seen;
        location /file/ { sparkngin_root_loc; sparkngin_topic t; client_body_in_file_only clean; }
        location /hasty/ { sparkngin_root_loc; sparkngin_topic t; client_body_timeout 300ms; }
CONF
    location => 'sparkngin_root_loc; sparkngin_topic t; sparkngin_ack ring;',
);
$t->start->ready;
my $json = JSON::PP->new->utf8;
my ($number, @want, @aborted) = (0);

sub socket_to {
    my ($port) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port // $t->port) or die "connect: $!\n";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return $socket;
}
sub head { my ($target, @lines) = @_; return join "\r\n", "POST $target HTTP/1.1", 'Host: a', @lines, '', '' }
sub chunk { my ($bytes) = @_; return sprintf "%x\r\n%s\r\n", length $bytes, $bytes }

# A frame of HTTP/2; the head of a POST in plain literals; the same of its body.
sub frame { my ($type, $flags, $stream, $payload) = @_; return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload }
sub literal { my ($name, $value) = @_; return "\0" . join '', map { chr(length) . $_ } $name, $value }
sub h2_head {
    my ($target, @more) = @_;
    my $headers = join '', map { literal(@$_) } [':method', 'POST'], [':scheme', 'http'], [':path', $target], [':authority', 'a'], @more;
    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, '') . frame(1, 4, 1, $headers);
}
# The status of stream 1, or that it was reset, or that the connection ended.
sub h2_answer {
    my ($socket) = @_;
    my ($raw, $found) = ('');
    $socket->blocking(0);
    poll(10, 'an answer by HTTP/2', sub {
        my $n = sysread $socket, $raw, 65536, length $raw;
        $found = 'closed' if defined $n && !$n;
        while (!$found && length $raw >= 9 && length $raw >= 9 + (my $size = unpack 'N', "\0" . substr $raw, 0, 3)) {
            my ($type, $flags, $stream) = unpack 'x3CCN', $raw;
            # :status 204 and 400 are in the static table, others are literals.
            my $block = substr $raw, 9, $size;
            $found = { 0x88 => 200, 0x89 => 204, 0x8c => 400 }->{ ord $block } // $block if $type == 1 && $stream == 1;
            $found = 'reset' if $type == 3 && $stream == 1;
            substr($raw, 0, 9 + $size) = '';
        }
        return $found;
    });
    return $found;
}

# --- byte by byte ---

# Sends each byte when the one before has gone, and while it does others are answered.
sub drip {
    my ($socket, $bytes) = @_;
    my ($asked, $answered) = (0, 0);
    for my $at (0 .. length($bytes) - 1) {
        pause_until(time + 0.001);
        syswrite $socket, substr $bytes, $at, 1;
        next if $at % 100;
        $asked++;
        $answered++ if $t->get("/sn/log?id=between" . ++$number)->{status} == 204;
        push @want, ["between$number", undef];
    }
    is($answered, $asked, "  meanwhile $asked others are answered");
}

my $data = 'slow {"a": 1} ' . join '', 'a' .. 'z', 0 .. 9;
my @batch = ('{"id":"drip0"}', '{"id":"drip1"}', '[2]');
my $batch = '[' . join(', ', @batch) . ']';
for my $row (
    ['with a length', '/sn/log?id=length', ['Content-Length: ' . length $data], $data],
    ['into a file', '/file/log?id=file', ['Content-Length: ' . length $data], $data],
    ['chunked, a byte a chunk', '/sn/log?id=chunked', ['Transfer-Encoding: chunked'], join('', map { chunk($_) } split //, $data) . "0\r\n\r\n"],
) {
    my ($what, $target, $lines, $body) = @$row;
    my $socket = socket_to();
    syswrite $socket, head($target, @$lines);
    drip($socket, $body);
    is($t->raw('', socket => $socket)->{status}, 204, "byte by byte, $what");
    push @want, [$target =~ /id=(\w+)/, $data];
}
{
    my $socket = socket_to();
    my $packed = Compress::Zlib::memGzip($batch);
    syswrite $socket, head('/sn/log?id=batch', 'Content-Type: application/json', 'Content-Encoding: gzip', 'Content-Length: ' . length $packed);
    drip($socket, $packed);
    is($t->raw('', socket => $socket)->{status}, 204, 'byte by byte, a batch, compressed');
    push @want, ['drip0', { id => 'drip0' }], ['drip1', { id => 'drip1' }], ['batch-2', [2]];
}
{
    my $socket = socket_to($t->port('h2'));
    syswrite $socket, h2_head('/sn/log?id=frames');
    drip($socket, join('', map { frame(0, 0, 1, $_) } split //, $data) . frame(0, 1, 1, ''));
    is(h2_answer($socket), 204, 'byte by byte, HTTP/2, a byte a frame');
    push @want, ['frames', $data];
}

# --- ended too early ---

sub leaves { my ($socket) = @_; close $socket }
sub resets { my ($socket) = @_; setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0; close $socket }

my $lines = join '', map "{\"id\":\"never$_\"}\n", 1 .. 5;
my $long = 'x' x 40_000;
for my $row (
    ['with a length', ['Content-Length: 100'], 'only a part'],
    ['with a length, but for its last byte', ['Content-Length: ' . (1 + length $data)], $data],
    ['with a length, in a file', ['Content-Length: 50000'], $long, '/file/log'],
    ['chunked, in a chunk', ['Transfer-Encoding: chunked'], "64\r\nonly a part"],
    ['chunked, behind a chunk', ['Transfer-Encoding: chunked'], chunk($data)],
    ['chunked, in the last chunk', ['Transfer-Encoding: chunked'], chunk($data) . "0\r\n"],
    ['chunked, in a file', ['Transfer-Encoding: chunked'], chunk($long), '/file/log'],
    ['five lines', ['Content-Type: application/x-ndjson', 'Content-Length: 1000'], $lines],
    ['five lines, chunked', ['Content-Type: application/x-ndjson', 'Transfer-Encoding: chunked'], chunk($lines)],
    ['a whole array, chunked', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], chunk($batch)],
) {
    my ($what, $headers, $body, $target) = @$row;
    for my $end (['left', \&leaves], ['reset', \&resets]) {
        my $id = 'aborted' . ++$number;
        my $socket = socket_to();
        syswrite $socket, head(($target // '/sn/log') . "?id=$id", @$headers) . $body;
        # What has been read is read; the end comes later.
        pause_until(time + 0.02);
        $end->[1]->($socket);
        aborted($id, "$what, $end->[0]");
    }
}
for my $row (
    ['reset', frame(0, 0, 1, 'only a part') . frame(3, 0, 1, pack 'N', 8)],
    ['left', frame(0, 0, 1, 'only a part')],
    ['five lines, reset', frame(0, 0, 1, $lines) . frame(3, 0, 1, pack 'N', 8), ['content-type', 'application/x-ndjson']],
) {
    my ($what, $frames, @more) = @$row;
    my $id = 'aborted' . ++$number;
    my $socket = socket_to($t->port('h2'));
    syswrite $socket, h2_head("/sn/log?id=$id", @more) . $frames;
    pause_until(time + 0.02);
    close $socket if $what !~ /reset/;
    aborted($id, "HTTP/2, $what");
}
{
    my $socket = socket_to($t->port('h2'));
    syswrite $socket, h2_head('/sn/log?id=short', ['content-length', '100']) . frame(0, 1, 1, 'only a part');
    isnt(h2_answer($socket), 204, 'HTTP/2, less than its content-length: no success');
    is($t->raw(head('/hasty/log?id=hasty', 'Content-Length: 100') . 'only a part')->{status}, 0, 'client_body_timeout: nginx closes without an answer');
    aborted('hasty', 'too slow');
}

# nginx has noticed, and stored nothing of it.
sub aborted {
    my ($id, $what) = @_;
    my $line = eval { poll(10, 'its line', sub { $t->read_file('access.log') =~ /^(\Q$id\E .*)$/m && $1 }) } // $@;
    like($line, qr/^\Q$id\E (?:400|408|499) -$/, "ended too early: $what");
}

is($t->get('/sn/log?id=last')->{status}, 204, 'and the next event is taken');
push @want, ['last', undef];
$t->stop;
my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'ring', 'dump', $t->path('ring'));
my @events = map { $json->decode($_)->{event} } grep { /^\{/ } split /\n/, $text;
is_deeply([map { [$_->{id}, $_->{data}] } @events], \@want, 'the ring holds what came whole, as it was sent, in its order, and nothing else') or diag substr $text, 0, 500;
is(join(',', glob $t->path('client_body') . '/*'), '', 'no temporary file is left');
$t->finish;
