#!/usr/bin/perl
# `sparkngin heartbeat`: green while events get through nginx, the subscriber and a real Kafka; red with the reason when
# one of them stands still or is away, and green again after it. Told as line, exit code, plugin, metrics and webhook. Beats are in
# the books and in no figure of traffic; who sends what only looks like them hides nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin::Spine;
use Test::More;

my $t = Sparkngin::Spine->new;
my $kafka = $t->{kafka};
my $sn = 'http://127.0.0.1:' . $t->port . '/sn/';

sub beat {
    my (%opt) = (url => $sn, kafka => $kafka->address, timeout => '30s', %{ ref $_[0] ? shift : {} });
    return $t->run($Sparkngin::PROGRAM, 'heartbeat', (map { ("--$_" => $opt{$_}) } sort keys %opt), @_);
}

# --- one beat ---

poll(60, 'a tick is known', sub { $t->status->{recent}{seconds} });
my ($code, $text) = beat('--once');
like("$code $text", qr/^0 green: in Kafka after [\d.]+ s\n\z/, 'green, though its topic was just being made');
cmp_ok($kafka->count('sparkngin.heartbeat'), '==', 1, '  and it is there');
($code, $text) = beat('--check', '-w', '1000', '-c', '2000');
like("$code $text", qr/^0 SPARKNGIN HEARTBEAT OK - in Kafka after ([\d.]+) s \| 'latency'=\1s;1000;2000;0;\n\z/, 'as a plugin');
($code) = beat('--check', '-w', '@0:1000');
is($code, 1, '  that warns by a range');
($code) = beat('--check', '-c', '@0:1000');
is($code, 2, '  and calls');
my $nobody = 'http://127.0.0.1:' . $t->port('nobody') . '/sn/';
($code, $text) = beat({ url => $nobody }, '--once');
like("$code $text", qr/^1 red: nginx does not answer: .+\n\z/, 'red without nginx');
($code, $text) = beat({ url => "${sn}elsewhere/" }, '--once');
like("$code $text", qr/^1 red: nginx refuses it: 404\b.*\n\z/, 'red where nginx refuses it');
($code, $text) = beat({ kafka => '127.0.0.1:' . $t->port('nobody'), timeout => '100ms' }, '--check');
like("$code $text", qr/^2 SPARKNGIN HEARTBEAT CRITICAL - Kafka does not answer: /, 'critical without Kafka');
($code, $text) = beat('--once', '--interval', 'soon');
like("$code $text", qr/^2 sparkngin: --interval "soon": it must be a time/, 'a word that cannot be');
is((beat('--check', '--wrong'))[0], 3, '  to who runs a plugin it is UNKNOWN');

# --- no traffic, and in the books ---

sub total {
    my ($name) = @_;
    my $sum = 0;
    $sum += $_ for $t->get('/sn/metrics')->{body} =~ /^sparkngin_$name(?:\{[^ ]*)? (\S+)$/mg;
    return $sum;
}

# The same of the subscriber's own.
sub own {
    my ($name) = @_;
    my $sum = 0;
    $sum += $_ for $t->get('/metrics', port => $t->{metrics})->{body} =~ /^sparkngin_$name(?:\{[^ ]*)? (\S+)$/mg;
    return $sum;
}

sub balanced {
    my $books = $t->books;
    return $books->{committed} == $books->{in_kafka} + $books->{in_ring} + $books->{lost} + $books->{dead_lettered} + $books->{uncertain};
}

poll(60, 'four beats are acknowledged', sub { $t->books->{heartbeats} == 4 });
my $status = $t->status;
is("$status->{ring}{committed} $status->{ring}{heartbeats} $status->{subscribers}[0]{in_kafka}", '4 4 4', 'four beats are in the books');
ok(balanced(), '  which close');
is_deeply([map { total($_) } qw(events_committed_total heartbeats_committed_total subscriber_delivered_events_total subscriber_delivered_heartbeats_total)],
    [0, 4, 0, 4], 'the metrics count them apart from events');
poll(20, 'the subscriber shows them', sub { own('feed_delivered_heartbeats_total') == 4 });
is_deeply([map { own($_) } qw(feed_taken_heartbeats_total feed_taken_events_total feed_delivered_events_total delivery_seconds_count delivery_recent_seconds_count)],
    [4, 0, 0, 0, 0], '  and so do those of the subscriber, which has no latency of them');
($code, $text) = $t->run($Sparkngin::PROGRAM, 'top', '--once', $sn, '--subscriber', "http://127.0.0.1:$t->{metrics}/");
like($text, qr/^  kafka connected  behind 0 events, 0\.0 s  in Kafka 0\n.*^  feeds 1 of 1  delivered 0  open 0  dead 0\n/ms, '  and so does top');
is($t->books->{took}{events}, 0, '  and what the subscriber tells nginx');
poll(60, 'the ticks have them', sub { $t->status->{recent}{heartbeats} == 4 });
my $recent = $t->status->{recent};
is("$recent->{taken} $recent->{in_kafka}{kafka} $recent->{taken_per_second}", '0 0 0', '  and no traffic');
my $page = $t->get('/sn/status', headers => [Accept => 'text/html'])->{body};
like($page, qr{<li>4 heartbeats came in over the last ten minutes}, 'the page has their number');
like($page, qr{<li>0 events a second came in over the last minute}, '  and no rate of them');
is($t->post('/sn/log?topic=a', 'x')->{status}, 204, 'an event');
is(total('events_committed_total'), 1, '  is traffic');

# --- what looks like one ---

my $mark = 'sparkngin-heartbeat-mine-1.';
my %forged = (
    'says more' => $t->post("/sn/log?topic=a&id=$mark", "$mark and more"),
    'says nothing' => $t->post("/sn/log?topic=a&id=$mark", ''),
    'has another id' => $t->post('/sn/log?topic=a&id=mine', $mark),
    'is one of several' => $t->post("/sn/log?topic=a&id=$mark", qq(["$mark"]), headers => ['Content-Type' => 'application/json']),
);
is($forged{$_}{status}, 204, "an event that $_") for sort keys %forged;
is(total('events_committed_total') . ' ' . total('heartbeats_committed_total'), '5 4', '  is traffic');
my $began = time;
$t->post("/sn/log?topic=a&id=$mark", $mark) for 1 .. 300;
my $most = 2 * 10 * (int(time - $began) + 2);
cmp_ok(total('heartbeats_committed_total') - 4, '<=', $most, "of 300 that look like beats two workers believe $most at most");
is(total('events_committed_total') + total('heartbeats_committed_total'), 309, '  the others are traffic');
poll(60, 'all of it is in Kafka', sub { $t->books->{in_kafka} == 309 });
ok(balanced(), '  and in the books');
poll(20, 'the subscriber shows it', sub { own('feed_delivered_events_total') + own('feed_delivered_heartbeats_total') == 309 });
is(own("feed_delivered_${_}_total"), total("subscriber_delivered_${_}_total"), "it believes what nginx believes: $_") for qw(events heartbeats);
is(own('delivery_seconds_count'), own('feed_delivered_events_total'), '  and has a latency of each event');

# --- beat after beat ---

my $heard = $t->path('heard');
$t->daemon(name => 'hook', foreign => 1, out => $heard, command => [$^X, '-MIO::Socket::INET', '-e', <<'PERL', $t->port('hook')]);
    $| = 1;
    my $door = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:$ARGV[0]", ReuseAddr => 1) or die;
    while (my $client = $door->accept) {
        my $in = '';
        until ($in =~ /Content-Length: (\d+).*?\r\n\r\n(.*)\z/s && length $2 >= $1) { sysread $client, $in, 65536, length $in or last }
        print $in =~ /\r\n\r\n(.*)/s, "\n";
        print $client "HTTP/1.0 204 No Content\r\n\r\n";
    }
PERL
my $metrics = $t->port('heartbeat');
my $heart = $t->daemon(
    name => 'heartbeat',
    command => [
        $Sparkngin::PROGRAM, 'heartbeat', '--url', $sn, '--kafka', $kafka->address, '--interval', '1s', '--timeout', '5s', '--log', 'text',
        '--http', "127.0.0.1:$metrics", '--webhook', 'http://127.0.0.1:' . $t->port('hook') . '/hook?a=b',
    ]);

sub heard { return map { eval { decode_json($_) } // () } split /\n/, $t->read_file('heard') }

# Waits until the webhook was told this colour last, and for a reason like this.
sub told {
    my ($colour, $reason) = @_;
    my $last = poll(90, "the webhook is told $colour", sub {
        my @told = heard();
        return @told && $told[-1]{colour} eq $colour && ($told[-1]{reason} // '') =~ $reason && $told[-1];
    });
    pass("the webhook was told $colour");
    return $last;
}

sub number { return $t->get('/metrics', port => $metrics)->{body} =~ /^sparkngin_heartbeat_$_[0](?:\{|,)[^ ]* (\S+)$/m && $1 }

my $first = told('green', qr/^\z/);
is((heard())[0]{before}, undef, '  and knew no colour at first');
ok($first->{latency_seconds} > 0 && $first->{topic} eq 'sparkngin.heartbeat' && $first->{url} eq $sn, '  with what it is about');
poll(60, '/readyz is green', sub { $t->get('/readyz', port => $metrics)->{status} == 200 });
my $body = $t->get('/metrics', port => $metrics)->{body};
$t->write_file('metrics', $body);
is(join('', $t->run('sh', '-c', "promtool check metrics <$t->{dir}/metrics")), '0', 'promtool has nothing to say of its metrics');
like($body, qr/^sparkngin_heartbeat_seconds_count\{url="\Q$sn\E"\} [1-9]/m, '  which have how long beats took');
like($body, qr/^sparkngin_heartbeat_beats_total\{url="\Q$sn\E",result="green"\} [1-9]/m, '  and how many were green');

$kafka->freeze;
is(told('red', qr/^nginx took it, and it is not in Kafka after 5 s: |^Kafka does not answer: /)->{before}, 'green', '  since Kafka stands still');
poll(60, '/readyz is red', sub { $t->get('/readyz', port => $metrics)->{body} =~ /^red: / });
is(number('up'), 0, '  and so is the metric');
$kafka->thaw;
is(told('green', qr/^\z/)->{before}, 'red', '  since it goes on');

$t->stop;
told('red', qr/^nginx /);
poll(60, '/readyz says that nginx is away', sub { $t->get('/readyz', port => $metrics)->{body} =~ /^red: nginx does not answer: / });
$t->start->ready;
told('green', qr/^\z/);

is($heart->stop, 0, 'asked to end, it ends with 0');
is(join(' ', grep { !/^__|^sparkngin\./ } keys %{ { $kafka->topics } }), 'a', 'no topic of others had any of it');
$t->finish;
