#!/usr/bin/perl
# What is not stored of clients (sparkngin_privacy): nothing of who asks not to be tracked, where that is honoured; only
# the beginning of addresses, and the cookies that are listed, whatever way they come in. Each beside the same where
# nobody said anything.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf(qw(cookie cookie_a cookie_b peer chain x-forwarded-for x_real_ip uri host server where other)) . <<'CONF',
        log_format status '$sparkngin_status $request_uri';
        sparkngin_field peer $remote_addr;
        sparkngin_field chain $http_x_forwarded_for;
        sparkngin_field server "$server_addr $host";
        sparkngin_field where "at $remote_addr.";
        sparkngin_topic t;
        sparkngin_receipt on;
CONF
    server => <<'CONF',
        access_log %%DIR%%/status.log status;
        location /dnt/ { sparkngin_root_loc; sparkngin_privacy dnt; }
        location /gpc/ { sparkngin_root_loc; sparkngin_privacy gpc; }
        location /mask/ { sparkngin_root_loc; sparkngin_privacy ip=mask cookies=a,c; set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP; location /mask/off/ { sparkngin_root_loc; sparkngin_privacy off; } }
        location /none/ { sparkngin_root_loc; sparkngin_privacy ip=none cookies=; }
        location /site/ { return 200 "s"; sparkngin_access site; sparkngin_privacy dnt gpc ip=mask; }
        location /plain/ { return 200 "s"; sparkngin_access site; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my $sent = 0;

sub taken {
    my ($target, $what, @headers) = @_;
    my $answer = $t->get($target, headers => \@headers);
    like($answer->{status}, qr/^20[04]$/, $what) or diag $answer->{raw};
    $sent++;
    return $answer;
}

sub private {
    my ($target, $by, $what, @headers) = @_;
    my $answer = $t->get($target, headers => \@headers);
    is($answer->{status}, $target =~ /gif/ ? 200 : 204, $what) or diag $answer->{raw};
    is($answer->{headers}{'sparkngin-privacy'}, $by, '  is told that nothing is stored, and why');
    ok(!exists $answer->{headers}{'sparkngin-receipt'}, '  and has no receipt');
}

# Who asks not to be tracked.
my (@dnt, @gpc);
@dnt = (DNT => '1');
@gpc = ('Sec-GPC' => '1');
private('/dnt/log?id=nobody1', 'dnt', 'DNT: 1', @dnt);
private('/dnt/log?topic=%2F&id=nobody2', 'dnt', 'whatever it sends', @dnt);
private('/gpc/log?id=nobody3', 'gpc', 'Sec-GPC: 1', @gpc);
private('/gpc/log.gif?id=nobody4', 'gpc', 'the pixel', @gpc);
is($t->post('/dnt/log?id=nobody5', 'nobody6', headers => \@dnt)->{headers}{'sparkngin-privacy'}, 'dnt', 'by POST');
taken('/dnt/log?id=d1', 'DNT: 0', DNT => '0');
taken('/dnt/log?id=d2', 'Sec-GPC where only DNT is honoured', @gpc);
taken('/gpc/log?id=d3', 'and the other way round', @dnt);
taken('/sn/log?id=d4', 'where neither is', @dnt, @gpc);
taken('/dnt/log?id=d5', 'neither is sent');
like($t->read_file('status.log'), qr{^private /dnt/log\?id=nobody1$}m, 'the log has it, too');

# Addresses and cookies.
my @who = ('X-Forwarded-For' => '198.51.100.77, 2001:db8:1:2::9', Cookie => 'a=1; b=2; c=3');
my $query = 'x-forwarded-for=198.51.100.77&other=198.51.100.77&cookie_b=2';
taken('/sn/log?id=w0&ip=198.51.100.77', 'all of it', @who);
taken("/mask/log?id=m1&$query", 'masked', @who, 'X-Real-IP' => '198.51.100.77');
taken('/mask/log?id=m2&ip=198.51.100.77', 'as the client says it');
taken('/mask/log?id=m3', 'a new one', 'X-Real-IP' => '2001:db8:1:2::9');
is($t->post('/mask/log', '{"id":"m4","ip":"198.51.100.77","cookie":"b=2; a=1"}', headers => ['Content-Type' => 'application/json'])->{status}, 204, 'in a JSON object');
$sent++;
taken("/mask/off/log?id=m5&ip=198.51.100.77", 'where it is off again', @who);
taken('/mask/log?id=m6&x_real_ip=3325256781', 'in other spellings', 'X-Forwarded-For' => '198.51.100.77., 0306.063.0144.0115, ::ffff:198.51.100.77, [2001:db8:1:2::9]:80, 198.51.100.77:80');
taken("/none/log?id=n1&$query", 'without', @who);
taken('/none/log?id=n2&x_real_ip=3325256781', 'in other spellings', 'X-Forwarded-For' => '198.51.100.77.');
is($t->get('/mask/log?id=n&ip=198.51.100.777')->{status}, 400, 'what is no address is none');

# The traffic.
taken("/plain/p?$query", 'a request of the site', @who);
taken("/site/s?$query", 'with privacy', @who);
taken('/site/10.1.2.3', 'addresses that are no client\'s', Host => '10.1.2.4');
is($t->get('/site/x', headers => \@dnt)->{status}, 200, 'who asks not to be tracked gets the page');

my @events = $tap->events($sent);
is(scalar @events, $sent, 'nothing else is stored');
my %e = map { ($_->{id} // $_->{uri}) => $_ } @events;
my $shown = sub { my $e = $e{ $_[0] } // {}; return join '|', map { $e->{$_} // '-' } qw(ip peer chain x-forwarded-for cookie cookie_a cookie_b other) };
is($shown->('w0'), '198.51.100.77|127.0.0.1|198.51.100.77, 2001:db8:1:2::9|-|a=1; b=2; c=3|1|2|-', 'all');
is($shown->('m1'), '198.51.100.0|198.51.100.0|198.51.100.0, 2001:db8:1::|198.51.100.0|a=1; c=3|1|-|198.51.100.77', 'masked: each copy; what has another name is the client\'s own');
is($shown->('m2'), '198.51.100.0|127.0.0.0|-|-|-|-|-|-', 'masked: the parameter');
is($shown->('m3'), '2001:db8:1::|2001:db8:1::|-|-|-|-|-|-', 'masked: /48');
is($shown->('m4'), '198.51.100.0|127.0.0.0|-|-|a=1|-|-|-', 'masked: the keys of an object, whose payload stays whole');
is($e{m4}{data}{ip}, '198.51.100.77', '  as it was sent');
like($shown->('m5'), qr/^198\.51\.100\.77\|127\.0\.0\.1\|198\.51\.100\.77, 2001:db8:1:2::9\|-\|a=1; b=2; c=3\|/, 'off: all');
my $more = sub { my $e = $e{ $_[0] } // {}; return join '|', map { $e->{$_} // '-' } qw(chain x_real_ip server where) };
is($more->('m6'), 'unknown, unknown, ::ffff:198.51.100.0, 2001:db8:1::, 198.51.100.0|unknown|127.0.0.1 localhost|at 127.0.0.0.', 'masked: what is not known to be an address is unknown');
is($shown->('n1'), '-|-|-|-|-|-|-|198.51.100.77', 'none of it');
is($more->('n2'), '-|-|127.0.0.1 localhost|-', 'none: no residue of a field with an address');
is_deeply([@{ $e{'/site/10.1.2.3'} // {} }{qw(host ip)}], ['10.1.2.4', '127.0.0.0'], 'the server\'s own name and path stay');
is($shown->('/plain/p'), '127.0.0.1|127.0.0.1|198.51.100.77, 2001:db8:1:2::9|-|-|-|-|-', 'the traffic has no cookies');
is($shown->('/site/s'), '127.0.0.0|127.0.0.0|198.51.100.0, 2001:db8:1::|-|-|-|-|-', 'and no address');

# Nothing of it lies in the ring's file, either.
my $bytes = join '', map { $t->read_file($_) } glob $t->path('ring/ring.*');
unlike($bytes, qr/nobody\d/, 'the file has nothing of those who asked not to be tracked');
like($bytes, qr/198\.51\.100\.77/, '  but what others sent');
is($t->status->{access}{lost}, 0, 'and nothing counts as lost');

$t->finish;
