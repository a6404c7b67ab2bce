#!/usr/bin/perl
# What nginx has in front of any location works in front of events: allow and deny, passwords, limits, real IP. And the
# workers may be anybody: nginx's user, or whoever starts nginx.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->write_file('passwords', "me:{PLAIN}secret\n", 0644);
$t->conf(
    http => Sparkngin::Tap::conf() . ' limit_req_zone $server_name zone=slow:1m rate=1r/m;',
    server => <<'CONF',
        location /denied/ { deny all; sparkngin_root_loc; }
        location /allowed/ { allow 127.0.0.1; deny all; sparkngin_root_loc; }
        location /secret/ { auth_basic "events"; auth_basic_user_file %%DIR%%/passwords; sparkngin_root_loc; }
        location /either/ { satisfy any; deny all; auth_basic "events"; auth_basic_user_file %%DIR%%/passwords; sparkngin_root_loc; }
        location /slow/ { limit_req zone=slow; sparkngin_root_loc; }
        location /slowly/ { limit_req zone=slow; limit_req_status 429; sparkngin_root_loc; }
        location /readers/ { limit_except GET { deny all; } sparkngin_root_loc; }
        location /writers/ { limit_except GET { allow 127.0.0.1; deny all; } sparkngin_root_loc; }
        location /real/ { set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP; sparkngin_root_loc; }
        location /real-only/ { set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP; allow 203.0.113.9; deny all; sparkngin_root_loc; }
        location /if/ { if ($arg_ban) { return 403; } if ($arg_tag) { set $tag 1; } sparkngin_root_loc; }
        location /if-in/ { if ($arg_tag) { add_header Tagged yes; } sparkngin_topic inside; sparkngin_root_loc; }
        location = /exact/log { limit_except POST { allow all; } if ($arg_tag) { add_header Tagged yes; } sparkngin_root_loc; }
        location ~ ^/regex/ { limit_except POST { allow all; } if ($arg_tag) { add_header Tagged yes; } sparkngin_root_loc; }
        location /inner/ { internal; sparkngin_root_loc; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my @me = (headers => [Authorization => 'Basic bWU6c2VjcmV0']);
my $sent = 0;

sub is_status {
    my ($want, $answer, $what) = @_;
    is($answer->{status}, $want, $what) or diag $answer->{raw};
    $sent += $answer->{status} == 204;
}

is_status(403, $t->get('/denied/log?topic=a'), 'deny');
is_status(204, $t->get('/allowed/log?topic=a'), 'allow');
is_status(401, $t->get('/secret/log?topic=a'), 'without a password');
is_status(401, $t->post('/secret/log?topic=a', 'x' x 20_000), 'a POST, too; its body is not in the way');
is_status(204, $t->get('/secret/log?topic=a', @me), 'with it');
is_status(401, $t->get('/either/log?topic=a'), 'satisfy any: neither');
is_status(204, $t->post('/either/log?topic=a', 'x', @me), 'satisfy any: one of them');
is_status(204, $t->get('/slow/log?topic=a'), 'within the limit');
is_status(503, $t->get('/slow/log?topic=a'), 'beyond it: nginx\'s own 503');
is_status(429, $t->get('/slowly/log?topic=a'), 'or 429');
is_status(204, $t->get('/readers/log?topic=a'), 'limit_except GET: a GET');
is_status(403, $t->post('/readers/log?topic=a', 'x'), 'and a POST');
is_status(204, $t->post('/writers/log?topic=a', 'x'), 'a POST that limit_except lets in is served');
is_status(204, $t->get('/real/log?topic=a&id=real', headers => ['X-Real-IP' => '203.0.113.9']), 'real IP');
is_status(204, $t->get('/real/log?topic=a&id=real6', headers => ['X-Real-IP' => '2001:db8::9']), 'real IPv6');
is_status(204, $t->get('/sn/log?topic=a&id=unreal', headers => ['X-Real-IP' => '203.0.113.9']), 'where nobody asked for it');
is_status(403, $t->get('/real-only/log?topic=a'), 'allow by real IP: not this one');
is_status(204, $t->get('/real-only/log?topic=a', headers => ['X-Real-IP' => '203.0.113.9']), 'but that one');
is_status(403, $t->get('/if/log?topic=a&ban=1'), '"if" that returns');
is_status(204, $t->get('/if/log?topic=a&tag=1'), '"if" that sets');
my $tagged = $t->get('/if-in/log?tag=1&id=if');
is_status(204, $tagged, '"if" with settings of its own serves what its location serves');
is($tagged->{headers}{tagged}, 'yes', '  with these settings');
for my $place (qw(/exact/log /regex/any/log)) {
    is_status(204, $t->get("$place?topic=a"), "$place: a GET that \"limit_except\" lets in");
    my $answer = $t->post("$place?topic=a&tag=1", 'x');
    is_status(204, $answer, '  a POST inside "if"');
    is($answer->{headers}{tagged}, 'yes', '  with its settings');
}
is_status(404, $t->get('/inner/log?topic=a'), 'an internal location');

my %e = $tap->by_id($sent);
is($e{real}{ip}, '203.0.113.9', 'the event has the real address');
is($e{real6}{ip}, '2001:db8::9', 'also of the newer kind');
is($e{unreal}{ip}, '127.0.0.1', 'and the peer\'s otherwise');
is($e{if}{topic}, 'inside', 'inside "if" the location\'s topic holds');
is(scalar($tap->events($sent)), $sent, 'none of the refused ones was stored');
$tap->stop;
$t->stop;

# Who the workers are.
sub owners { return join ' ', map { (getpwuid((stat)[4]))[0] . sprintf(' %o', (stat)[2] & 07777) } grep { !/\.sock$/ } map { ($_, glob "$_/ring.*") } $t->path($_[0]) }

SKIP: {
    skip 'only root can be somebody else', 6 if $> != 0;
    $t->conf(user => 'nobody nogroup', http => 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/theirs;', location => 'sparkngin_root_loc;');
    $t->start->ready;
    is($t->get('/sn/log?topic=a')->{status}, 204, 'user nobody');
    is(owners('theirs'), 'nobody 700 nobody 600', 'what it made is its own');
    $t->stop;

    # Whoever starts nginx.
    $t->conf(http => 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/mine;', location => 'sparkngin_root_loc;');
    my ($uid, $gid) = (getpwnam 'www-data')[2, 3];
    chmod 0777, $t->dir;
    chown $uid, $gid, $t->path('error.log'), $t->path('nginx.pid'), map { $t->path($_) } grep { -e $t->path($_) } qw(client_body proxy fastcgi uwsgi scgi);
    my ($code, $text) = $t->run('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups', $t->nginx_command);
    is($code, 0, 'started by somebody who is not root') or diag $text;
    $t->adopt(poll(5, 'nginx.pid is written', sub { $t->read_file('nginx.pid') =~ /^(\d+)/ && $1 }));
    $t->ready;
    is($t->get('/sn/log?topic=a')->{status}, 204, '  takes events');
    is(owners('mine'), 'www-data 700 www-data 600', '  in files of its own');
    my @ids = map { (stat "/proc/$_")[4] } $t->workers;
    is("@ids", "$uid $uid", '  and every worker is that one');
    $t->stop;
}

$t->finish;
