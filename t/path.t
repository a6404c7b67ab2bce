#!/usr/bin/perl
# The topic in the path, the list of topics that are taken, and the pixel: what each takes, and what it refuses beside a
# twin that is taken.

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
    http => Sparkngin::Tap::conf() . ' sparkngin_receipt on;',
    server => <<'CONF',
        location /list/ { sparkngin_root_loc; sparkngin_topics clicks orders.eu ~web-[a-z]+; sparkngin_topic clicks; }
        location /list/all/ { sparkngin_root_loc; sparkngin_topics ~.*; }
        location /list/off/ { sparkngin_root_loc; sparkngin_topics off; location /list/off/in/ { sparkngin_root_loc; } }
        location /chosen/ { sparkngin_root_loc; sparkngin_topics clicks; sparkngin_topic $arg_t; }
        location = /exact/log/one { sparkngin_root_loc; }
        location = /exact/log/status { sparkngin_root_loc; }
        location ~ ^/re/log/(a|b)$ { sparkngin_root_loc; }
        location /moved/ { rewrite ^/moved/(.*)$ /x/log/$1 break; sparkngin_root_loc; }
CONF
    location => 'sparkngin_root_loc; sparkngin_topic place;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my $sent = 0;

sub is_status {
    my ($want, $answer, $what) = @_;
    is($answer->{status}, $want, $what) or diag $answer->{raw};
    $sent += $answer->{status} == 204 || ($answer->{headers}{'content-type'} // '') eq 'image/gif';
    return $answer;
}

sub refused {
    my ($want, $error, $field, $answer, $what) = @_;
    is_status($want, $answer, $what);
    my $said = eval { JSON::PP->new->decode($answer->{body}) } // {};
    ref $error ? like($said->{error}, $error, '  and why') : is($said->{error}, $error, '  and why');
    is($said->{field}, $field, '  and which field');
    is($answer->{headers}{'cache-control'}, 'no-store', '  and no cache keeps that');
}

# The topic in the path.
is_status(204, $t->get('/sn/log/clicks?id=p1'), 'a topic in the path');
is_status(204, $t->get('/sn/log/clicks?id=p2&topic=query'), 'it wins over the parameter');
is_status(204, $t->post('/sn/log/clicks?id=p3', '{"topic":"body"}', headers => ['Content-Type' => 'application/json']), '  and over a key');
is_status(204, $t->get('/sn/log/a.b-C_9?id=p4&topic=%2F'), '  and over what could be none');
is_status(204, $t->get('/sn/log/%63licks?id=p5'), '  decoded');
is_status(204, $t->get('/exact/log/one?id=p6'), 'in an exact location');
is_status(204, $t->get('/re/log/b?id=p7'), 'in a regex one');
is_status(204, $t->get('/moved/two?id=p8'), 'after a rewrite');
is_status(404, $t->get('/re/log/c?id=x'), '  which has another one not');
is_status(404, $t->get('/sn/log/'), 'nothing behind the slash');
is_status(404, $t->get('/sn/log.gif/clicks'), 'behind the pixel');
is_status(405, $t->request('PUT', '/sn/log/clicks'), 'another method');
refused(400, qr/^topic "a\/b" is not the name of a topic, it must be 1 to 249/, 'topic', $t->get('/sn/log/a/b?topic=a'), 'two segments');
refused(400, qr/^topic "__a" is not the name of a topic/, 'topic', $t->get('/sn/log/__a'), 'a topic of Kafka itself');
refused(400, qr/^topic "\\x22" is not the name/, 'topic', $t->get('/sn/log/%22'), 'a quotation mark');
is($t->get('/exact/log/status')->{body} =~ /"ring"/, 1, 'a name that is one of ours is no topic there');

# The list.
my $no = sub { qq(topic "$_[0]" is not taken here) };
is_status(204, $t->get('/list/log?id=l1'), 'the place\'s own topic');
is_status(204, $t->get("/list/log?id=l2&topic=$_"), "listed: $_") for qw(clicks orders.eu web-shop);
is_status(204, $t->get('/list/log/web-a?id=l3'), 'listed, in the path');
refused(403, $no->($_), 'topic', $t->get("/list/log?topic=$_"), "not listed: $_") for qw(click clicksx Clicks ordersXeu web- xweb-a web-a1);
refused(403, $no->('web-A'), 'topic', $t->get('/list/log/web-A'), 'not listed, in the path');
refused(403, $no->('other'), 'topic', $t->post('/list/log', '{"topic":"other"}', headers => ['Content-Type' => 'application/json']), 'not listed, as a key');
refused(403, $no->('other'), 'topic', $t->get('/chosen/log?t=other'), 'not listed, by a variable');
is_status(204, $t->get('/chosen/log?t=clicks&id=l4'), '  and its twin');
is_status(204, $t->get('/list/all/log?topic=other&id=l5'), 'a list of all inside it');
is_status(204, $t->get('/sn/log?topic=other&id=l6'), 'and where there is none');
is_status(204, $t->get('/list/off/log?topic=off&id=l7'), 'no list any more inside it');
is_status(204, $t->get('/list/off/in/log/other?id=l8'), 'nor where that is inherited');

# However many names clients invent, a worker keeps none of them.
sub resident { return $t->read_file("/proc/$_[0]/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die 'no RssAnon' }
{
    my $flood = sub {
        my ($from, $count) = @_;
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die "$!\n";
        my $refused = 0;
        for (my $at = $from; $at < $from + $count; $at += 100) {
            print $socket join '', map { "GET /list/log?topic=no-$_ HTTP/1.1\r\nHost: a\r\n\r\n" } $at .. $at + 99;
            my $text = '';
            while (($text =~ s/^HTTP/HTTP/mg || 0) < 100 || $text !~ /\}\n\z/) {
                sysread $socket, $text, 65536, length $text or die "the connection ended\n";
            }
            $refused += () = $text =~ /^HTTP\/1\.1 403/mg;
        }
        is($refused, $count, "$count requests for topics of other names");
    };
    $flood->(0, 2_000);
    my %before = map { $_ => resident($_) } $t->workers;
    $flood->(1_000_000, 10_000);
    my ($grown) = sort { $b <=> $a } map { resident($_) - $before{$_} } $t->workers;
    cmp_ok($grown, '<', 4096, 'no worker has grown by 4 MB');
    unlike(join('', $t->error_log), qr/no-1000500/, 'nor does error.log name each');
}

# The pixel.
{
    my $answer = is_status(200, $t->get('/sn/log.gif?topic=mail&id=g1&data=opened'), 'the pixel');
    is(length $answer->{body}, 43, '43 bytes');
    is(unpack('H*', $answer->{body}), '47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b', 'of a GIF');
    is($answer->{headers}{'content-type'}, 'image/gif', 'and says so');
    is_deeply([@{ $answer->{headers} }{qw(cache-control pragma expires)}], ['no-store', 'no-cache', 'Thu, 01 Jan 1970 00:00:00 GMT'], 'that nobody keeps');
    like($answer->{headers}{'sparkngin-receipt'}, qr/; ack=ring$/, 'with the receipt');
    ok(!exists $answer->{headers}{etag} && !exists $answer->{headers}{'last-modified'}, 'and nothing to ask for again');
    is_status(200, $t->get('/sn/log.gif?topic=mail&id=g2', headers => ['If-Modified-Since' => 'Fri, 01 Jan 2100 00:00:00 GMT', Range => 'bytes=0-1']), 'whatever the client has');
    is_status(405, $t->post('/sn/log.gif?topic=mail', 'x'), 'by POST');
    is($t->request('HEAD', '/sn/log.gif?topic=mail')->{headers}{allow}, 'GET', 'by HEAD');
    refused(400, 'there is no topic, the parameter "topic" must name one', 'topic', $t->get('/list/all/log.gif'), 'no GIF for what is refused');
    refused(403, $no->('x'), 'topic', $t->get('/list/log.gif?topic=x'), 'nor for a topic that is not listed');
    is_status(200, $t->get('/list/log.gif?topic=clicks&id=g3'), '  and its twin');
}

my @events = $tap->events($sent);
is(scalar @events, $sent, 'each event that was answered with success is there once, and none else');
my %e = map { $_->{id} => $_ } @events;
is_deeply([map { $e{"p$_"}{topic} } 1 .. 8], [qw(clicks clicks clicks a.b-C_9 clicks one b two)], 'the topics');
is_deeply($e{p3}{data}, { topic => 'body' }, 'the payload is whole');
is_deeply([@{ $e{g1} }{qw(topic data)}], ['mail', 'opened'], 'the pixel\'s event');
is($e{l4}{topic}, 'clicks', 'a topic by a variable');

$t->finish;
