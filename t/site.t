#!/usr/bin/perl
# nginx's own knowledge in events: variables as fields (sparkngin_field), and the site's traffic (sparkngin_access), one
# event behind each request, in any location; what is lost of it is counted, and no request is changed.

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
my @fields = qw(server method host protocol uri status bytes request_time upstream_status upstream_response_time
    upstream_addr request_id args n j bad tag deep);
my $conf = sub {
    my ($more) = @_;
    $t->conf(
        http => Sparkngin::Tap::conf(@fields) . " $more",
        server => <<'CONF',
        listen 127.0.0.1:%%PORT_h2%% http2;
        sparkngin_field server $server_name;
        location / { root %%DIR%%/www; error_page 404 /missing.html; }
        location = /missing.html { root %%DIR%%/www; sparkngin_topic t; }
        location /proxied/ { proxy_pass http://127.0.0.1:%%PORT%%/upstream/; proxy_set_header Host up; }
        location /upstream/ { sparkngin_access off; return 201 "created"; }
        location /broken/ { proxy_pass http://127.0.0.1:%%PORT_nobody%%; }
        location /quiet/ { sparkngin_access other if=$arg_log; return 200 "q"; }
        location /off/ { sparkngin_access off; return 200 "off"; }
        location /chosen/ { sparkngin_access $arg_t; return 200 "c"; }
        location /own/ { sparkngin_root_loc; sparkngin_access events; sparkngin_topic own; sparkngin_field tag o; }
        location /typed/ {
            sparkngin_root_loc;
            sparkngin_topic typed;
            sparkngin_field n $request_length type=number;
            sparkngin_field j $http_x_json type=json;
            sparkngin_field bad $http_x_json type=number;
            sparkngin_field level $arg_lv;
            sparkngin_field tag "$request_method-$arg_none";
            location /typed/in/ { sparkngin_root_loc; }
            location /typed/other/ { sparkngin_root_loc; sparkngin_field deep 1; }
        }
CONF
        location => 'sparkngin_root_loc; sparkngin_topic inner;',
    );
};
mkdir $t->path('www');
chmod 0755, $t->path('www');
$t->write_file('www/page.html', 'a page', 0644);
$t->write_file('www/missing.html', 'nothing', 0644);
$conf->('sparkngin_access site;');
$t->start;
poll(20, 'sparkngin is ready', sub { $t->get('/sn/imok')->{status} == 200 });
my $tap = Sparkngin::Tap->new($t);
my $sent = 0;

sub got {
    my ($want, $answer, $what) = @_;
    is($answer->{status}, $want, $what) or diag $answer->{raw};
    $sent++;
    return $answer;
}

# The traffic.
got(200, $t->get('/page.html?secret=1&a=b', headers => ['User-Agent' => 'browser', Referer => 'http://r/', Cookie => 'sid=secret', Host => 'shop.example']), 'a page');
got(404, $t->get('/none'), 'one that is not there, after an internal redirect');
got(201, $t->get('/proxied/x'), 'behind a proxy');
got(502, $t->get('/broken/x'), 'and a broken one');
got(200, $t->get('/quiet/?log=1'), 'where the condition holds');
is($t->get("/quiet/$_")->{status}, 200, "and where not: '$_'") for '', '?log=0', '?log=';
is($t->get('/off/')->{status}, 200, 'where it is off');
got(200, $t->get('/chosen/?t=named'), 'a topic by a variable');
is($t->get('/chosen/?t=%2F')->{status}, 200, '  which is none: the request is served all the same');
got(405, $t->request('PUT', '/page.html', body => 'x' x 10), 'another method');
got(400, $t->raw("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 'a bad request');
my ($code) = $t->run('curl', '-s', '--http2-prior-knowledge', '-o', '/dev/null', 'http://127.0.0.1:' . $t->port('h2') . '/page.html');
is($code, 0, 'by HTTP/2');
$sent++;
# The way in is no traffic, unless it says so itself.
got(204, $t->get('/sn/log?id=in'), 'an event, without one behind it');
got(204, $t->get('/own/log?id=own'), 'and with one');
$sent++;

my @events = $tap->events($sent);
is(scalar @events, $sent, 'one event behind each request, and none else');
my %by;
push @{ $by{ "$_->{topic} " . ($_->{uri} // $_->{id}) } }, $_ for @events;
my $one = sub { my $list = $by{$_[0]} // []; is(scalar @$list, $_[1] // 1, "there is one: $_[0]"); return $list->[0] // {} };
$one->('site /page.html', 3);
my ($page) = grep { $_->{'user-agent'} && $_->{'user-agent'} eq 'browser' } @{ $by{'site /page.html'} };
is_deeply([@{$page}{qw(type method host protocol status ip user-agent referrer server)}],
    ['access', 'GET', 'shop.example', 'HTTP/1.1', 200, '127.0.0.1', 'browser', 'http://r/', 'localhost'], 'what it says');
cmp_ok($page->{bytes}, '>', 6, 'the bytes, a number');
like($page->{request_time}, qr/^\d+(\.\d+)?$/, 'the time');
like($page->{request_id}, qr/^[0-9a-f]{32}$/, 'the id');
ok(!grep({ exists $page->{$_} } qw(upstream_addr upstream_status upstream_response_time data)), 'no more than there is');
unlike(JSON::PP->new->encode($page), qr/secret/, 'neither query nor cookies');
is($one->('site /none')->{status}, 404, 'the path that the client sent, not where it was led to');
my $proxied = $one->('site /proxied/x');
is_deeply([@{$proxied}{qw(status upstream_status upstream_addr)}], [201, 201, '127.0.0.1:' . $t->port], 'the upstream');
cmp_ok($proxied->{upstream_response_time}, '<', 10, 'and its time, a number');
is($one->('site /broken/x')->{status}, 502, 'a broken upstream');
is($one->('other /quiet/')->{status}, 200, 'the condition');
is($one->('named /chosen/')->{status}, 200, 'the topic by a variable');
is((grep { $_->{method} eq 'PUT' } @{ $by{'site /page.html'} })[0]{status}, 405, 'the other method');
is((grep { $_->{protocol} eq 'HTTP/2.0' } @{ $by{'site /page.html'} })[0]{status}, 200, 'HTTP/2');
is((grep { ($_->{status} // 0) == 400 } @events)[0]{topic}, 'site', 'the bad request');
my $behind = $one->('events /own/log');
is_deeply([@{$behind}{qw(status tag type)}], [204, 'o', 'access'], 'the event behind an event');
is($by{'own own'}[0]{tag}, 'o', 'and the event itself has the place\'s field');
is($by{'inner in'}[0]{server}, 'localhost', 'a field from around');
is($t->status->{access}{lost}, 1, 'the one without a topic is counted');
$t->logged(qr/1 event of the traffic lost, the first: topic "%2F" is not the name of a topic/);

# Fields.
$sent++ for map { is($t->get(@$_)->{status}, 204, 'an event with fields') } (
    ['/typed/log?id=f1&lv=warn&level=mine&tag=mine&own=1', headers => ['X-Json' => '{"a":[1,2]}']],
    ['/typed/log?id=f2', headers => ['X-Json' => '12']],
    ['/typed/log?id=f3&level=mine', headers => ['X-Json' => '{']],
    ['/typed/in/log?id=f4'],
    ['/typed/other/log?id=f5&tag=mine'],
);
my %e = map { ($_->{id} // '') => $_ } $tap->events($sent);
is_deeply([@{ $e{f1} }{qw(level tag j bad)}], ['warn', 'GET-', { a => [1, 2] }, '{"a":[1,2]}'], 'the place\'s fields, not the client\'s');
cmp_ok($e{f1}{n}, '>', 50, 'a number');
is_deeply([@{ $e{f2} }{qw(j bad)}], [12, 12], 'a number is JSON, too');
is_deeply([@{ $e{f3} }{qw(level j bad)}], ['mine', '{', '{'], 'what is not of its type is a string; an empty one gives nothing');
is_deeply([$e{f4}{tag}, $e{f4}{server}], ['GET-', undef], 'inherited, but only where none is said');
is_deeply([@{ $e{f5} }{qw(deep tag n)}], ['1', 'mine', undef], 'replaced by what is said inside');
$tap->stop;

# A full ring: the requests are served as before, and each event that is lost is counted.
$t->stop;
$conf->('sparkngin_subscriber nobody; sparkngin_access site;');
my $text = $t->read_file('nginx.conf');
$text =~ s{/ring;}{/small; sparkngin_buf_size 512k;} or die;
$t->write_file('nginx.conf', $text);
$t->start->ready;
my $head = 'User-Agent: ' . 'u' x 4000;
my $asked = 0;
poll(60, 'the ring is full', sub {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    my $answers = '';
    print $socket "GET /page.html HTTP/1.1\r\nHost: a\r\n$head\r\n\r\n" x 19 . "GET /page.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n$head\r\n\r\n";
    $answers .= $_ while <$socket>;
    my $served = () = $answers =~ /HTTP\/1\.1 200/mg;
    $asked += 20;
    is($served, 20, 'all are served') if $served != 20;
    return $t->status->{access}{lost} > 40;
});
my $status = $t->status;
# What asks for the status is itself no traffic.
is($status->{ring}{committed} + $status->{access}{lost}, $asked, 'stored and lost are what was asked for');
$t->logged(qr/\d+ events? of the traffic lost, the first: /);
is($t->get('/page.html')->{body}, 'a page', 'and the site goes on');

$t->finish;
