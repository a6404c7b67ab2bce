#!/usr/bin/perl
# More of what nginx has in front of any location: limits of connections, permission by a subrequest, TLS, HTTP/2, copies,
# subrequests of a page, redirects inside nginx. (t/access.t has passwords, allow and deny, rates and real addresses;
# t/body.t what becomes of bodies.) Each refusal stands beside a request that passes, and only those are stored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
my ($code, $said) = $t->run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-keyout', $t->path('tls.key'), '-out', $t->path('tls.crt'));
die "no certificate: $said" if $code;
mkdir $t->path('www');
chmod 0755, $t->path('www');
$t->write_file('www/page.shtml', 'a<!--#include virtual="/sn/log?topic=t&id=ssi" -->b', 0644);
$t->conf(
    http => Sparkngin::Tap::conf() . ' limit_conn_zone $server_name zone=one:1m; proxy_ssl_verify off;',
    server => <<'CONF',
        listen 127.0.0.1:%%PORT_tls%% ssl http2;
        ssl_certificate %%DIR%%/tls.crt;
        ssl_certificate_key %%DIR%%/tls.key;
        location /limited/ { limit_conn one 1; sparkngin_root_loc; }
        location /asked/ { auth_request /may; sparkngin_root_loc; }
        location = /may { internal; if ($http_x_key = right) { return 204; } return 403; }
        location /mirrored/ { mirror /copy; sparkngin_root_loc; }
        location = /copy { internal; proxy_pass http://127.0.0.1:%%PORT%%/copied/log?topic=copy&id=$arg_id-copy; }
        location /copied/ { sparkngin_root_loc; }
        location /pages/ { alias %%DIR%%/www/; ssi on; default_type text/html; }
        location /error/ { root %%DIR%%/none; error_page 404 = /sn/log?topic=t&id=error; }
        location /try/ { root %%DIR%%/none; try_files $uri /sn/log?topic=t&id=try; }
        location /rewritten/ { rewrite ^/rewritten/(.*)$ /sn/log?topic=t&id=$1 last; }
        location /accel/ { proxy_pass http://127.0.0.1:%%PORT%%/says/; }
        location /says/ { add_header X-Accel-Redirect "/sn/log?topic=t&id=accel"; return 200 "x"; }
        location /tls-only/ { if ($https = "") { return 403; } sparkngin_root_loc; }
        location /secured/ { proxy_pass https://127.0.0.1:%%PORT_tls%%/sn/; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my @stored;

sub is_status {
    my ($want, $answer, $what, $id) = @_;
    is($answer->{status}, $want, $what) or diag $answer->{raw};
    push @stored, $id if defined $id;
    return $answer;
}

# limit_conn: a request that is still sending its body holds the one place.
{
    my $slow = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die "$!\n";
    print $slow "POST /limited/log?topic=t&id=slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbo";
    $slow->flush;
    # Until nginx has it, others may pass.
    my $passed = 0;
    my $answer = poll(10, 'limit_conn refuses', sub {
        my $it = $t->get("/limited/log?topic=t&id=early" . ++$passed);
        push @stored, "early$passed" if $it->{status} == 204;
        return $it->{status} == 503 && $it;
    });
    unlike($answer->{body}, qr/"error"/, 'limit_conn: nginx\'s own 503');
    print $slow 'dy';
    $slow->flush;
    my $text = join '', <$slow>;
    like($text, qr/^HTTP\/1\.1 204/, 'and the one that has the place is stored');
    push @stored, 'slow';
    poll(10, 'the place is free again', sub { $t->get('/limited/log?topic=t&id=after')->{status} == 204 });
    push @stored, 'after';
}

# auth_request.
is_status(403, $t->get('/asked/log?topic=t&id=no'), 'auth_request says no');
is_status(403, $t->post('/asked/log?topic=t&id=no', 'x' x 20_000), 'to a POST, too');
is_status(204, $t->get('/asked/log?topic=t&id=asked', headers => ['X-Key' => 'right']), 'auth_request says yes', 'asked');
is_status(204, $t->post('/asked/log?topic=t&id=asked-post', 'body', headers => ['X-Key' => 'right']), '  to a POST, too', 'asked-post');

# mirror: the event, and a copy of the request elsewhere.
is_status(204, $t->post('/mirrored/log?topic=t&id=first', 'twice'), 'mirror', 'first');
push @stored, 'first-copy';

# Subrequests, and what leads here inside nginx.
my $page = is_status(200, $t->get('/pages/page.shtml'), 'a page with an event in it', 'ssi');
is($page->{body}, 'ab', '  which adds nothing to it');
is_status(204, $t->get('/error/x'), 'error_page', 'error');
is_status(204, $t->get('/try/x'), 'try_files', 'try');
is_status(204, $t->get('/rewritten/re'), 'rewrite', 're');
is_status(204, $t->get('/accel/'), 'X-Accel-Redirect', 'accel');

# TLS and HTTP/2.
my $tls = 'https://127.0.0.1:' . $t->port('tls');
sub curl {
    my ($code, $text) = $t->run('curl', '-s', '--cacert', $t->path('tls.crt'), '--connect-to', '::127.0.0.1:', '-k', '-o', '/dev/null', '-w', '%{http_version} %{http_code}', @_);
    return $text;
}
is(curl('--http1.1', "$tls/sn/log?topic=t&id=tls1"), '1.1 204', 'TLS');
is(curl('--http2', "$tls/sn/log?topic=t&id=tls2"), '2 204', 'TLS and HTTP/2');
is(curl('--http2', '-d', 'posted', "$tls/sn/log?topic=t&id=tls3"), '2 204', '  by POST');
is(curl('--http2', '-H', 'Sparkngin-Header-Trace: x', "$tls/sn/log.gif?topic=t&id=tls4"), '2 200', '  the pixel');
is(curl('--http2', "$tls/asked/log?topic=t&id=no"), '2 403', '  what is refused');
is(curl('--http2', "$tls/tls-only/log?topic=t&id=tls5"), '2 204', 'where TLS is asked for');
is_status(403, $t->get('/tls-only/log?topic=t&id=no'), '  without');
is_status(204, $t->get('/secured/log?topic=t&id=tls6'), 'behind a proxy that speaks TLS', 'tls6');
push @stored, map "tls$_", 1 .. 5;

my @events = $tap->events(scalar @stored);
is(join(' ', sort map { $_->{id} } @events), join(' ', sort @stored), 'what passed is stored, once, and nothing else');
my %e = map { $_->{id} => $_ } @events;
is_deeply([map { $e{$_}{data} } qw(slow asked-post first first-copy tls3)], ['body', 'body', 'twice', 'twice', 'posted'], 'with its body');
is($e{'first-copy'}{topic}, 'copy', 'the copy is the mirror\'s');

$t->finish;
