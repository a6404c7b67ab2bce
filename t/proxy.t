#!/usr/bin/perl

# The tests' own proxy does what the others rely on, over TCP and over unix sockets.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Errno 'ECONNRESET';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket;
use Test::More;
use Time::HiRes 'time';
use Sparkngin;
use Sparkngin::Proxy;

my $t = Sparkngin->new(program => 0);
my %kinds = (
    tcp => ['127.0.0.1:' . $t->port('proxy'), '127.0.0.1:' . $t->port('server')],
    unix => [map { "unix:$t->{dir}/$_.sock" } qw(proxy server)],
);
for my $kind (sort keys %kinds) {
    my ($listen, $target) = @{ $kinds{$kind} };
    my $server = open_socket($target, 1);
    my $proxy = Sparkngin::Proxy->new($t, $kind, $listen, $target);
    my $join = sub {
        my $client = open_socket($listen);
        my $ready = IO::Select->new($server)->can_read(10);
        return ($client, $ready ? scalar $server->accept : undef);
    };
    my ($client, $peer) = $join->();
    is(sent($client, $peer, 'there'), 'there', "$kind: bytes pass");
    is(sent($peer, $client, 'back'), 'back', "$kind: both ways");
    my $large = join '', map { chr $_ % 256 } 1 .. 300_000;
    is(sent($client, $peer, $large), $large, "$kind: many, in order");

    $proxy->tell('delay 0.5');
    my ($began, $got) = (time, '');
    for my $n (1 .. 20) { syswrite $client, "$n " }
    like(got($peer, 50), qr/^1 2 3 .* 20 $/, "$kind: late, in order");
    $proxy->tell('pass')->tell('throttle 20000');
    $began = time;
    is(length sent($client, $peer, substr $large, 0, 20_000), 20_000, "$kind: throttled, all of it");
    cmp_ok(time - $began, '>', 0.8, "$kind: a second's worth takes a second");
    $proxy->tell('pass');

    $proxy->tell('cut');
    is(end($client), 'end', "$kind: cut: the client sees an end");
    is(end($peer), 'end', "$kind: and so does the server");
    ($client, $peer) = $join->();
    is(sent($client, $peer, 'again'), 'again', "$kind: a new connection passes");
    if ($kind eq 'tcp') {
        $proxy->tell('reset');
        is(end($client), 'reset', "$kind: reset: the client sees it");
        is(end($peer), 'reset', "$kind: and so does the server");
        ($client, $peer) = $join->();
    }

    $proxy->tell('hang');
    syswrite $client, 'into the dark';
    ok(!IO::Select->new($peer)->can_read(0.3), "$kind: half open: nothing comes");
    close $client;
    ok(!IO::Select->new($peer)->can_read(0.3), "$kind: not even the end");
    $proxy->tell('pass');
    ($client, $peer) = $join->();
    is(sent($client, $peer, 'light'), 'light', "$kind: the next one passes");

    $proxy->tell('refuse');
    is(end($client), 'end', "$kind: refused: what was open is cut");
    ok(!open_socket($listen), "$kind: and nobody listens");
    $proxy->tell('pass');
    ($client, $peer) = $join->();
    is(sent($client, $peer, 'once more'), 'once more', "$kind: until it passes");
}
$t->finish;

sub open_socket {
    my ($address, $listen) = @_;
    my ($host, $where) = split /:/, $address, 2;
    return IO::Socket::UNIX->new(Type => SOCK_STREAM, $listen ? (Local => $where, Listen => 5) : (Peer => $where)) if $host eq 'unix';
    return IO::Socket::INET->new($listen
        ? (LocalAddr => $host, LocalPort => $where, Listen => 5, ReuseAddr => 1)
        : (PeerAddr => $host, PeerPort => $where));
}

# What arrives at one end of what is sent at the other.
sub sent {
    my ($from, $to, $bytes) = @_;
    $from->blocking(0);
    my ($sent, $got) = (0, '');
    poll(20, length($bytes) . ' bytes arrive', sub {
        $sent += syswrite($from, $bytes, length($bytes) - $sent, $sent) // 0 if $sent < length $bytes;
        $got .= got($to, 1);
        return length $got >= length $bytes;
    });
    return $got;
}

# What can be read within so many polls: until 20 numbers are there, or at once what is.
sub got {
    my ($from, $polls) = @_;
    my $got = '';
    for (1 .. $polls) {
        last if !IO::Select->new($from)->can_read($polls > 1 ? 2 : 0.01);
        last if !sysread $from, $got, 1 << 20, length $got;
        last if $got =~ / 20 $/;
    }
    return $got;
}

sub end {
    my ($socket) = @_;
    IO::Select->new($socket)->can_read(10) or return 'nothing';
    my $n = sysread $socket, my $bytes, 100;
    return defined $n ? $n ? "bytes $bytes" : 'end' : $! == ECONNRESET ? 'reset' : "$!";
}
