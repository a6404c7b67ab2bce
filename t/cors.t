#!/usr/bin/perl
# Pages of other origins (sparkngin_cors): what browsers ask first, what answers say to them, with and without
# credentials; what is refused stands beside what is not.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf() . ' sparkngin_topic t;',
    server => <<'CONF',
        location /any/ { sparkngin_root_loc; sparkngin_cors *; location /any/each/ { sparkngin_root_loc; sparkngin_cors * max_age=0; } }
        location /some/ { sparkngin_root_loc; sparkngin_cors https://www.example.org http://localhost:3000 "~https://[a-z]+\.example\.com" max_age=10m; }
        location /cred/ { sparkngin_root_loc; sparkngin_cors https://www.example.org credentials; sparkngin_receipt on; location /cred/off/ { sparkngin_root_loc; sparkngin_cors off; } }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my ($www, $evil, $sent) = ('https://www.example.org', 'https://www.example.org.evil', 0);

# What an answer says to browsers, in the order of names.
sub said {
    my ($answer) = @_;
    return join ' | ', map { "$_: $answer->{headers}{$_}" } grep { /^access-control|^vary|^allow$/ } sort keys %{ $answer->{headers} };
}

sub asks {
    my ($target, $origin, @more) = @_;
    return $t->request('OPTIONS', $target, headers => ['Access-Control-Request-Method' => 'POST', defined $origin ? (Origin => $origin) : (), @more]);
}

sub answers {
    my ($answer, $status, $said, $what) = @_;
    is("$answer->{status} " . said($answer), "$status $said", $what) or diag $answer->{raw};
    $sent += $answer->{status} == 204 && !exists $answer->{headers}{'access-control-allow-methods'};
}

my $exposed = 'access-control-expose-headers: Sparkngin-Receipt, Sparkngin-Privacy, Retry-After';
my $methods = 'access-control-allow-methods: GET, POST';

# A browser's question.
answers(asks('/any/log', $evil), 204, join(' | ', $methods, 'access-control-allow-origin: *', $exposed, 'access-control-max-age: 3600'), 'anybody may');
answers(asks('/some/log/clicks', $www), 204, join(' | ', $methods, "access-control-allow-origin: $www", $exposed, 'access-control-max-age: 600', 'vary: Origin'), 'an origin of the list');
answers(asks('/cred/log', $www), 204, join(' | ', 'access-control-allow-credentials: true', $methods, "access-control-allow-origin: $www", $exposed, 'access-control-max-age: 3600', 'vary: Origin'), 'with credentials');
answers(asks('/some/log', 'http://localhost:3000'), 204, join(' | ', $methods, 'access-control-allow-origin: http://localhost:3000', $exposed, 'access-control-max-age: 600', 'vary: Origin'), 'one with a port');
answers(asks('/some/log', 'https://shop.example.com'), 204, join(' | ', $methods, 'access-control-allow-origin: https://shop.example.com', $exposed, 'access-control-max-age: 600', 'vary: Origin'), 'one that matches');
answers(asks('/some/log', $_), 403, 'vary: Origin', "not $_")
    for $evil, 'http://www.example.org', 'http://localhost', 'http://localhost:30000', 'https://example.com', 'https://a.example.com.evil', 'https://a.b.example.com', 'null', '';
like(asks('/some/log', $evil)->{body}, qr/^\{"error":"pages of this origin may not read what is answered here","field":null\}$/, '  and why');
answers(asks('/sn/log', $www), 405, 'allow: GET, POST', 'where nobody spoke of it');
answers(asks('/cred/off/log', $www), 405, 'allow: GET, POST', 'where it is off again');
answers(asks('/any/log.gif', $evil), 204, join(' | ', 'access-control-allow-methods: GET', 'access-control-allow-origin: *', $exposed, 'access-control-max-age: 3600'), 'the pixel is for GET alone');
answers(asks('/any/each/log', $evil), 204, join(' | ', $methods, 'access-control-allow-origin: *', $exposed, 'access-control-max-age: 0'), 'asked each time');
answers(asks('/some/log', undef), 405, 'allow: GET, POST | vary: Origin', 'no origin: no browser\'s question');
answers($t->request('OPTIONS', '/some/log', headers => [Origin => $www]), 405, join(' | ', "access-control-allow-origin: $www", $exposed, 'allow: GET, POST', 'vary: Origin'), 'no method: neither');
answers(asks('/some/status', $www), 405, 'allow: GET', 'the status is for no page');

my $allowed = sub { asks('/some/log', $www, 'Access-Control-Request-Headers' => $_[0])->{headers}{'access-control-allow-headers'} };
is($allowed->('content-type,sparkngin-ack, Sparkngin-Header-Trace,ce-id,content-encoding, authorization'),
    'content-type, sparkngin-ack, Sparkngin-Header-Trace, ce-id, content-encoding, authorization', 'the headers that mean something');
is($allowed->('x-other,content-type,ce-a(b),cookie'), 'content-type', 'and no others');
is($allowed->('x-other'), undef, 'none of them');
is($allowed->('content-type,' . 'x' x 7000), 'content-type', 'however long');

# What is sent then.
my $origin = sub { (headers => [Origin => $_[0]]) };
answers($t->post('/any/log', '{}', $origin->($evil)), 204, "access-control-allow-origin: * | $exposed", 'anybody');
answers($t->post('/any/log', '{}'), 204, '', 'no page');
answers($t->post('/some/log', '{}', $origin->($www)), 204, "access-control-allow-origin: $www | $exposed | vary: Origin", 'a page of the list');
answers($t->post('/some/log', '{}', $origin->($evil)), 204, 'vary: Origin', 'any other is stored, and cannot read that');
answers($t->post('/some/log', '{}'), 204, 'vary: Origin', 'no page: a cache must know all the same');
answers($t->post('/some/log?topic=%2F', '{}', $origin->($www)), 400, "access-control-allow-origin: $www | $exposed | vary: Origin", 'a page can read why it is refused');
answers($t->post('/cred/log', '{}', $origin->($www)), 204, "access-control-allow-credentials: true | access-control-allow-origin: $www | $exposed | vary: Origin", 'with credentials');
answers($t->post('/cred/log', '{}', $origin->($evil)), 204, 'vary: Origin', 'but not for others');
answers($t->get('/some/imok', $origin->($www)), 200, '', 'the health is for no page');
my $pixel = $t->get('/some/log.gif', $origin->($www));
is("$pixel->{status} " . said($pixel), "200 access-control-allow-origin: $www | $exposed | vary: Origin", 'the pixel');
$sent++;
my $two = $t->raw("POST /some/log HTTP/1.1\r\nHost: a\r\nOrigin: $www\r\nOrigin: $evil\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
answers($two, 204, "access-control-allow-origin: $www | $exposed | vary: Origin", 'two of them: the first');

is(scalar($tap->events($sent)), $sent, 'what was answered with success is stored');
$t->finish;
