#!/usr/bin/perl
# $sparkngin_id and $sparkngin_status in log_format: what became of each request.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf() . q( log_format what '$arg_n [$sparkngin_status] [$sparkngin_id] $status';),
    server => <<'CONF',
        access_log %%DIR%%/access.log what;
        location /elsewhere { return 204; }
        location /early { set $before "$sparkngin_id$sparkngin_status"; add_header Before "<$before>"; add_header After "<$sparkngin_status>"; sparkngin_root_loc; }
        location /mirrored { mirror /sn/log; return 204; }
        location /redirected { error_page 404 = /sn/log?topic=a&n=11; return 404; }
CONF
    location => 'sparkngin_root_loc; sparkngin_receipt on; sparkngin_max_event 1k;',
);
$t->start->ready;

my $receipt = $t->get('/sn/log?topic=a&n=1')->{headers}{'sparkngin-receipt'} =~ s/;.*//r;
$t->post('/sn/log?topic=a&n=2', 'data');
$t->get('/sn/log?n=3');
$t->get('/sn/log?topic=a&n=4&data=' . 'x' x 2000);
$t->post('/sn/log?topic=a&n=5', 'x' x 2000);
$t->request('HEAD', '/sn/log?topic=a&n=6');
$t->get('/sn/status?n=7');
$t->get('/sn/nothing?n=8');
$t->get('/elsewhere?n=9');
my $early = $t->get('/early/log?topic=a&n=10');
$t->get('/redirected?topic=b');

my $logged = poll(5, 'all of them are logged', sub {
    my %line = $t->read_file('access.log') =~ /^(\d+) (.*)$/mg;
    return keys %line == 11 && \%line;
});
my $id = qr/[0-9a-f]{32}-\d+-\d+/;
is($logged->{1}, "[stored] [$receipt] 204", 'a stored event has its receipt\'s id');
like($logged->{2}, qr/^\[stored\] \[$id\] 204$/, 'by POST, too');
is($logged->{3}, '[invalid] [-] 400', 'one that is not valid has none');
is($logged->{4}, '[large] [-] 413', 'nor one that is too large');
is($logged->{5}, '[large] [-] 413', 'nor one whose body is');
is($logged->{6}, '[-] [-] 405', 'another method was no event');
is($logged->{7}, '[-] [-] 200', 'nor was the status');
is($logged->{8}, '[-] [-] 404', 'nor was nothing');
is($logged->{9}, '[-] [-] 204', 'nor was what another location served');
is($early->{headers}{before} // '', '<>', 'before the event was tried, neither has a value');
is($early->{headers}{after}, '<stored>', 'afterwards the same request sees it');
like($logged->{11} // '', qr/^\[stored\] \[$id\]/, 'after an internal redirect');
is($early->{status}, 204, 'no variable is in the way of an event');

# Where nothing is taken.
$t->stop;
$t->write_file('access.log', '');
$t->conf(
    http => q(sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/odd; log_format what '$arg_n [$sparkngin_status] [$sparkngin_id] $status';),
    server => 'access_log %%DIR%%/access.log what;', location => 'sparkngin_root_loc;',
);
$t->check;
mkdir $t->path('odd/lock') or die;
$t->start;
$t->get('/sn/log?topic=a&n=1');
poll(5, 'it is logged', sub { $t->read_file('access.log') =~ /^1 / });
is($t->read_file('access.log'), "1 [away] [-] 503\n", 'without a ring');

$t->finish;
