#!/usr/bin/perl
# A body is the event's data, wherever nginx put it: in one buffer or several, in a temporary file, chunked, by HTTP/2,
# in a subrequest, after an internal redirect.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 'md5_hex';
use Time::HiRes 'time';
use IO::Socket::INET;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf() . ' sparkngin_buf_size 64m;',
    server => <<'CONF',
        listen 127.0.0.1:%%PORT_h2%% http2;
        location = /large { root %%DIR%%; }
        location /file/ { sparkngin_root_loc; client_body_in_file_only clean; }
        location /small/ { sparkngin_root_loc; client_body_buffer_size 1k; sparkngin_max_event 1m; }
        location /one/ { sparkngin_root_loc; client_body_in_single_buffer on; client_body_buffer_size 64k; sparkngin_max_event 64k; }
        location /mirrored/ { mirror /copy/log; proxy_pass http://127.0.0.1:%%PORT%%/upstream/; }
        location /unmirrored/ { mirror /copy/log; mirror_request_body off; proxy_pass http://127.0.0.1:%%PORT%%/upstream/; }
        location /copy/ { internal; sparkngin_root_loc; sparkngin_topic mirror; }
        location /upstream/ { return 200 "up"; }
        location /asked/ { auth_request /permit/log; try_files /none =204; }
        location /permit/ { internal; sparkngin_root_loc; sparkngin_topic permit; }
        location /failing/ { proxy_pass http://127.0.0.1:%%PORT_nobody%%; error_page 502 =202 @kept; }
        location @kept { sparkngin_root_loc; sparkngin_topic kept; }
        location /turned/ { proxy_pass http://127.0.0.1:%%PORT_nobody%%; error_page 502 /sn/log?topic=turned; }
        location /cut/ { client_max_body_size 100; error_page 413 /sn/log?topic=cut; proxy_pass http://127.0.0.1:%%PORT%%/upstream/; }
        location /limited/ { client_max_body_size 1k; error_page 413 /sn/log?topic=limited; proxy_pass http://127.0.0.1:%%PORT%%/upstream/; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my (%want, $number);

sub event_id { return 'b' . ++$number }

# Sends, and notes what has to be stored; undef is no data.
sub stores {
    my ($what, $data, $send, $status) = @_;
    my $id = event_id();
    my $answer = $send->($id);
    is($answer->{status}, $status // 204, $what) or diag $answer->{raw};
    $want{$id} = [$what, $data];
}

sub bytes { return join '', map { chr(97 + ($_ * 7 + int $_ / 26) % 26) } 1 .. shift }

stores("$_ bytes", bytes($_), sub { $t->post("/sn/log?topic=t&id=$_[0]", bytes($_)) }) for (1, 100, 8_000, 17_000, 32_000);
stores('a body that came with the header', 'right here', sub { $t->post("/sn/log?topic=t&id=$_[0]", 'right here') });
stores("in a file, $_ bytes", bytes($_), sub { $t->post("/file/log?topic=t&id=$_[0]", bytes($_)) }) for (1, 12_000, 30_000);
stores("beyond the buffer, $_ bytes", bytes($_), sub { $t->post("/small/log?topic=t&id=$_[0]", bytes($_)) }) for (1_025, 40_000, 200_000);
stores("in a single buffer, $_ bytes", bytes($_), sub { $t->post("/one/log?topic=t&id=$_[0]", bytes($_)) }) for (10, 60_000);
is($t->post('/small/log?topic=t', bytes(1_048_570))->{status}, 413, 'in a file, larger than an event may be');
is($t->post('/small/log?topic=t', bytes(1_048_577))->{status}, 413, 'larger than nginx takes');

# Piece by piece: the first comes with the header, the others when nginx has seen the ones before.
sub pieces {
    my ($head, @pieces) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    $socket->autoflush(1);
    $socket->setsockopt(6, 1, 1);    # TCP_NODELAY
    print $socket $head;
    for my $piece (@pieces) {
        pause_until(time + 0.03);
        print $socket $piece;
    }
    return $t->raw('', socket => $socket);
}

stores('in three pieces', 'onetwothree', sub {
    pieces("POST /sn/log?topic=t&id=$_[0] HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 11\r\n\r\none", 'two', 'three');
});
stores('in three pieces, more than the buffer', bytes(3_000), sub {
    my $all = bytes(3_000);
    pieces("POST /small/log?topic=t&id=$_[0] HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n" . substr($all, 0, 900),
        substr($all, 900, 1_000), substr($all, 1_900));
});
my $chunked = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
stores('chunked', 'hello, world', sub { $t->raw("POST /sn/log?topic=t&id=$_[0] ${chunked}5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n") });
stores('chunked, in pieces', 'hello, world', sub {
    pieces("POST /sn/log?topic=t&id=$_[0] $chunked", "5\r\nhel", "lo\r\n7\r\n, wor", "ld\r\n0\r\n\r\n");
});
stores('chunked, many of them, into a file', 'ab' x 5_000, sub {
    $t->raw("POST /small/log?topic=t&id=$_[0] $chunked" . "2\r\nab\r\n" x 5_000 . "0\r\n\r\n");
});
stores('chunked and empty', undef, sub { $t->raw("POST /sn/log?topic=t&id=$_[0] ${chunked}0\r\n\r\n") });
is($t->raw("POST /sn/log?topic=t $chunked" . "zz\r\n")->{status}, 400, 'chunks that are none');
stores('after 100-continue', 'waited for', sub {
    my $head = "POST /sn/log?topic=t&id=$_[0] HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    syswrite $socket, $head;
    sysread $socket, my $go, 25;
    is($go, "HTTP/1.1 100 Continue\r\n\r\n", 'nginx asks for the body');
    $t->raw('waited for', socket => $socket);
});
{
    my $before = () = $t->error_log =~ /refused/g;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    syswrite $socket, "POST /sn/log?topic=t&id=never HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly a part";
    close $socket;
    is($t->get('/sn/imok')->{status}, 200, 'a client that leaves in the middle of its body is no event');
}

# HTTP/2, by clients that are not ours.
my $h2 = 'http://127.0.0.1:' . $t->port('h2');
sub curl {
    my ($code, $text) = $t->run('curl', '-s', '--http2-prior-knowledge', '-o', '/dev/null', '-w', '%{http_version} %{http_code}', @_);
    return { status => $text =~ /^2 (\d+)$/ ? $1 : 0, raw => $text };
}
$t->write_file('body', bytes(30_000));
$t->write_file('load', bytes(3_000));
stores('HTTP/2, GET', 'by GET', sub { curl("$h2/sn/log?topic=t&id=$_[0]&data=by+GET") });
stores('HTTP/2, a GET with a body: it is discarded', undef, sub { curl('-X', 'GET', '-d', 'discarded', "$h2/sn/log?topic=t&id=$_[0]") });
stores('HTTP/2, POST', 'posted', sub { curl('-d', 'posted', "$h2/sn/log?topic=t&id=$_[0]") });
stores('HTTP/2, 30,000 bytes', bytes(30_000), sub { curl('--data-binary', '@' . $t->path('body'), "$h2/sn/log?topic=t&id=$_[0]") });
stores('HTTP/2, 30,000 bytes into a file', bytes(30_000), sub { curl('--data-binary', '@' . $t->path('body'), "$h2/small/log?topic=t&id=$_[0]") });
stores('HTTP/2, without a length', bytes(30_000), sub { curl('-T', $t->path('body'), '-X', 'POST', '-H', 'Content-Length:', "$h2/sn/log?topic=t&id=$_[0]") });
is(curl('-I', "$h2/sn/log?topic=t")->{status}, 405, 'HTTP/2, HEAD');
{
    my ($code, $text) = $t->run('h2load', '-n', '500', '-c', '5', '-m', '20', '-d', $t->path('load'), "$h2/small/log?topic=load");
    like($text, qr/500 succeeded/, 'h2load: 500 bodies, 20 at a time on each of 5 connections');
}

# An answer that waits behind others in a full socket: a client asks for much, reads nothing for a while, then all.
{
    $t->write_file('large', 'l' x 4_000_000, 0644);
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port('h2')) or die;
    my $frame = sub { my ($type, $flags, $stream, $payload) = @_; return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload };
    my $ask = sub {
        my ($stream, $path) = @_;    # :method GET, :scheme http, then :path and :authority in full
        return $frame->(1, 5, $stream, "\x82\x86\x04" . chr(length $path) . $path . "\x01\x01a");
    };
    syswrite $socket, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . $frame->(4, 0, 0, pack('nN', 4, 0x7fffffff)) . $frame->(8, 0, 0, pack('N', 0x7fff0000 - 65535))
        . $ask->(1, '/large');
    my $before = -1;
    my $queued = sub { `ss -Htn state established src 127.0.0.1:@{[$t->port('h2')]} dst 127.0.0.1:@{[$socket->sockport]}` =~ /^\s*\d+\s+(\d+)/m ? $1 : 0 };
    poll(5, 'the socket is full', sub { my $now = $queued->(); my $full = $now > 100_000 && $now == $before; $before = $now; $full });
    syswrite $socket, $ask->(3, '/sn/imok') . $ask->(5, '/sn/log') . $ask->(7, '/sn/status') . $frame->(6, 0, 0, 'pingpong');
    pause_until(time + 0.3);
    my ($raw, %body, %ended) = ('');
    poll(10, 'four streams end', sub {
        sysread $socket, $raw, 1 << 20, length $raw;
        while (length $raw >= 9 && length $raw >= 9 + (my $size = unpack 'N', "\0" . substr $raw, 0, 3)) {
            my ($type, $flags, $stream) = unpack 'x3CCN', $raw;
            $body{$stream} .= substr $raw, 9, $size if $type == 0;
            $ended{$stream}++ if $type < 2 && $flags & 1;
            substr($raw, 0, 9 + $size) = '';
        }
        return keys %ended == 4;
    });
    is(length $body{1}, 4_000_000, 'a large file over HTTP/2');
    like($body{3} // '', qr/^imok\n/, 'and behind it, while the socket is full, /imok with its body');
    like($body{5} // '', qr/^\{"error":"/, 'an error with its body');
    like($body{7} // '', qr/^\{.*\}\n$/s, 'the status with its body');
}

# What nginx makes of a request.
stores('mirrored, with its body', 'seen twice', sub { $t->post("/mirrored/x?id=$_[0]", 'seen twice') }, 200);
stores('mirrored, GET', undef, sub { $t->get("/mirrored/x?id=$_[0]") }, 200);
stores('mirrored, from a file', bytes(30_000), sub { $t->post("/mirrored/x?id=$_[0]", bytes(30_000)) }, 200);
stores('mirrored, without its body', undef, sub { $t->post("/unmirrored/x?id=$_[0]", 'seen once') }, 200);
is($t->post('/asked/x', 'not passed on')->{status}, 204, 'asked for permission: a subrequest without a query and a body');
stores('after an error, in a named location', 'kept', sub { $t->post("/failing/log?id=$_[0]", 'kept') }, 202);
is($t->post('/turned/x', 'turned')->{status}, 502, 'after an error, nginx made it a GET; the status is the error\'s');
is($t->post('/limited/x', 'y' x 2_000)->{status}, 413, 'after a 413: nginx made it a GET and has no body');

is($t->raw("POST /cut/x ${chunked}32\r\n" . 'y' x 50 . "\r\n64\r\n" . 'z' x 100 . "\r\n0\r\n\r\n")->{status}, 413, 'after a 413 in the second chunk of a body');
is(pieces("POST /cut/x $chunked", "32\r\n" . 'y' x 50 . "\r\n", "64\r\n" . 'z' x 100 . "\r\n")->{status}, 413, 'also when the first came before');

my $total = keys(%want) + 500 + 5;
my @events = $tap->events($total);
is(scalar @events, $total, 'each is stored once');
my %e = map { $_->{id} => $_ } grep { exists $_->{id} } @events;
for my $id (sort { substr($a, 1) <=> substr($b, 1) } keys %want) {
    my ($what, $data) = @{ $want{$id} };
    my $got = $e{$id}{data};
    if (defined $data && length $data > 100) { is(md5_hex($got // ''), md5_hex($data), "stored: $what") }
    else { is($got, $data, "stored: $what") }
}
my $load = bytes(3_000);
my %topics;
push @{ $topics{ $_->{topic} } }, $_ for @events;
is(scalar(grep { $_->{data} eq $load } @{ $topics{load} }), 500, 'stored: all of h2load');
is($topics{turned}[0]{data}, 'turned', 'stored: the body that nginx had read');
ok(exists $topics{permit} && !exists $topics{permit}[0]{data}, 'stored: the question for permission');
ok(exists $topics{limited} && !exists $topics{limited}[0]{data}, 'stored: no body');
is_deeply([map { $_->{data} } @{ $topics{cut} }], [undef, undef], 'stored: no part of a body');
is(join(',', glob $t->path('client_body') . '/*'), '', 'no temporary file is left');

$t->finish;
