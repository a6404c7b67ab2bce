#!/usr/bin/perl
# The figures as Prometheus has them: a real one scrapes the module and the subscriber, resolves every expression of
# examples/dashboard.json and of examples/alerts.yml; what is counted is what was done, and how long events took is no
# shorter than it was.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin::Spine;
use Test::More;
use Time::HiRes 'time';

my ($prometheus, $promtool) = map { my $name = $_; (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0] } qw(prometheus promtool);
die "no prometheus: run `make deps` first\n" if !$prometheus || !$promtool;

my $t = Sparkngin::Spine->new(kafka => 0, start => 0, buf_size => '1m', location => 'sparkngin_topics a b sparkngin.heartbeat; sparkngin_limits body=64k;');
my $mock = $t->daemon(name => 'mock', command => [$Sparkngin::PROGRAM, 'mock-kafka', '--port', $t->port('mock'), '--topic', 'a', '--topic', 'b', '--topic', 'sparkngin.dead', '--topic', 'sparkngin.heartbeat']);
$t->{kafka_address} = '127.0.0.1:' . $t->port('mock');
poll(20, 'the mock answers', sub { IO::Socket::INET->new(PeerAddr => $t->{kafka_address}) });
$t->start->ready;
$t->subscribe('--dead-letter', 'topic:sparkngin.dead');
$t->attached;

my %from = (module => sub { $t->get('/sn/metrics') }, subscriber => sub { $t->get('/metrics', port => $t->{metrics}) });

# Lines of a scrape as {series => value}.
sub scrape {
    my ($which) = @_;
    my $answer = $from{$which}->();
    die "$which: $answer->{raw}" if $answer->{status} != 200;
    return map { /^([^#]\S*(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } split /\n/, $answer->{body};
}

sub sum {
    my ($which, $name, $labels) = @_;
    my %series = scrape($which);
    my @mine = grep { /^\Q$name\E(?:\{|$)/ && (!$labels || /$labels/) } keys %series;
    die "$which has no $name\n" if !@mine;
    my $sum = 0;
    $sum += $series{$_} for @mine;
    return $sum;
}

# --- what it says ---

poll(20, 'the subscriber has told nginx how long events took', sub { eval { sum('module', 'sparkngin_subscriber_delivery_seconds_count'); 1 } });
for my $which (sort keys %from) {
    my $answer = $from{$which}->();
    is($answer->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', "the $which speaks Prometheus' text");
    is($answer->{headers}{'cache-control'}, 'no-store', '  that nobody keeps');
    open my $in, '<', $t->write_file("$which.prom", $answer->{body}) or die $!;
    my ($code, $said) = $t->run({ stdin => $in }, $promtool, 'check', 'metrics');
    is("$code $said", '0 ', '  promtool has nothing to say of it');
    my @names = $answer->{body} =~ /^# TYPE (\S+)/mg;
    is_deeply([grep { !/^sparkngin_[a-z_]+$/ } @names], [], '  one scheme of names');
    unlike($answer->{body}, qr/\btopic=/, '  no topic in it');
}
is($t->post('/sn/metrics', 'x')->{status}, 405, 'only GET');
is($t->request('HEAD', '/sn/metrics')->{status}, 405, '  so no HEAD');

# --- it counts what was done, and makes no series of what clients say ---

my %before = scrape('module');
my $stored = 0;
$stored += $t->post("/sn/log?topic=a", "n$_")->{status} == 204 for 1 .. 40;
is($stored, 40, 'events are stored');
$t->post("/sn/log?topic=other$_&x$_=y", 'x', headers => ['User-Agent' => "agent \"$_\"\\"]) for 1 .. 5;
$t->get("/sn/log?time_stamp=$_&topic=a") for 1 .. 3;
$t->post('/sn/log?topic=a', 'x' x 70_000) for 1 .. 2;
my $batch = $t->post('/sn/log', '[{"topic":"a","data":"1"},{"topic":"zzz","data":"1"},7,{"topic":"b","data":"2"}]', headers => ['Content-Type' => 'application/json']);
is($batch->{status}, 207, 'of a batch some are stored');
$stored += 2;
my %count = (denied => 6, invalid => 4, large => 2, full => 0, busy => 0, away => 0);
for my $reason (sort keys %count) {
    is(sum('module', 'sparkngin_events_refused_total', qr/reason="$reason"/), $count{$reason}, "refused: $reason");
}
is(sum('module', 'sparkngin_events_committed_total'), $stored, 'committed');
is($t->status->{refused}{denied}, 6, '/status says the same');
poll(60, 'all is delivered', sub { sum('module', 'sparkngin_subscriber_delivered_events_total') == $stored });
poll(20, 'the subscriber shows it', sub { sum('subscriber', 'sparkngin_feed_delivered_events_total') == $stored });
is(sum('subscriber', 'sparkngin_delivery_seconds_count'), $stored, 'of each event it is known how long it took');
is(sum('module', 'sparkngin_subscriber_lag_events') . ' ' . sum('module', 'sparkngin_subscriber_lag_seconds'), '0 0', 'nothing waits');
my %after = scrape('module');
is_deeply([sort keys %after], [sort keys %before], 'the series are the same as before');

# --- how long it took ---

my $slow = sum('subscriber', 'sparkngin_delivery_seconds_bucket', qr/le="1"/);
$t->{subscriber}->signal('STOP');
is($t->post('/sn/log?topic=a', 'slow')->{status}, 204, 'an event while the subscriber stands still');
$stored++;
my $sent = time;
pause_until($sent + 1.3);
cmp_ok(sum('module', 'sparkngin_subscriber_lag_seconds'), '>=', 1.2, '  its lag is at least its age');
is(sum('module', 'sparkngin_subscriber_lag_events'), 1, '  of one event');
$t->{subscriber}->signal('CONT');
poll(60, 'it is delivered', sub { sum('subscriber', 'sparkngin_delivery_seconds_count') == $stored });
is(sum('subscriber', 'sparkngin_delivery_seconds_bucket', qr/le="1"/), $slow, '  and it took more than a second');
cmp_ok(sum('subscriber', 'sparkngin_delivery_recent_seconds', qr/quantile="0.999"/), '>', 1, '  as the percentile says');

# nginx knows it from the subscriber. An event leaves after a minute, so each look is one of all that can be.
sub nginx_knows { my ($took) = map { $_->{took} } @{ $t->status->{subscribers} }; return $took && $took->{events} && $took->{p999_ms} > 1000 && $took }
my $took = poll(30, 'nginx knows it, too', \&nginx_knows);
cmp_ok($took->{events}, '<=', $stored, '/status says of how many events');
cmp_ok($took->{p50_ms}, '<=', $took->{p99_ms}, '  and how long shares of them took');
cmp_ok(sum('module', 'sparkngin_subscriber_delivery_recent_seconds', qr/quantile="0.999"/), '>', 1, '/sn/metrics says it');
my $page = $t->get('/sn/status', headers => [Accept => 'text/html'])->{body};
my $cells = qr{<td>\d[\d.,]*</td>(?:<td>\d[\d.]* m?s</td>){4}};
like($page, qr{<h2>From receipt to Kafka's acknowledgement, the last minute</h2>.*<th scope="row">kafka</th>$cells}s, '  and the page');
poll(20, 'nginx knows of each event', sub { sum('module', 'sparkngin_subscriber_delivery_seconds_count') == $stored });
is(sum('module', 'sparkngin_subscriber_delivery_seconds_bucket', qr/le="1"/), $slow, '/sn/metrics has how many took a second at most');
my $spread = $t->status->{subscribers}[0]{took}{spread};
my $longer = 0;
$longer += $_->{events} for grep { !defined $_->{ms} || $_->{ms} > 1000 } @{ $spread->{steps} };
is("$spread->{events} $longer", "$stored 1", '  and /status');
cmp_ok($spread->{sum_ms}, '>', 1000, '  and how long they took together');
like($t->get('/sn/status', headers => [Accept => 'text/html'])->{body}, qr{<figcaption>kafka, since it began: <b>$stored events, .* % up to 2\.5 s"><path d="M}, '  and the page has bars, which can be heard');

# --- a real Prometheus ---

my ($code, $said) = $t->run($promtool, 'test', 'rules', "$Sparkngin::ROOT/examples/alerts_test.yml");
is($code, 0, 'each alert rings when it should, and not when all is well') or diag($said);
my $conf = do { open my $in, '<', "$Sparkngin::ROOT/examples/prometheus.yml" or die; local $/; <$in> };
$conf =~ s/127\.0\.0\.1:80'/"127.0.0.1:" . $t->port . "'"/e or die;
$conf =~ s/127\.0\.0\.1:7010'/127.0.0.1:$t->{metrics}'/ or die;
$conf =~ s{(?<=# With `sparkngin heartbeat`:\n)(.*)\z}{$1 =~ s/^#  /  /mgr}se or die;
$conf =~ s/127\.0\.0\.1:7011'/"127.0.0.1:" . $t->port('heartbeat') . "'"/e or die;
$conf =~ s{- alerts\.yml}{- $Sparkngin::ROOT/examples/alerts.yml} or die;
$t->write_file('prometheus.yml', $conf =~ s/: 15s$/: 1s/mgr);
($code, $said) = $t->run($promtool, 'check', 'config', $t->path('prometheus.yml'));
is($code, 0, 'examples/prometheus.yml is one') or diag($said);
$t->daemon(name => 'prometheus', foreign => 1, command => [$prometheus, '--config.file=' . $t->path('prometheus.yml'),
    '--storage.tsdb.path=' . $t->path('tsdb'), '--web.listen-address=127.0.0.1:' . $t->port('prometheus')]);

sub ask {
    my ($path) = @_;
    my $answer = $t->get("/api/v1/$path", port => $t->port('prometheus'));
    return eval { JSON::PP->new->decode($answer->{body}) } // {};
}

sub query {
    my ($expr) = @_;
    my $answer = ask('query?query=' . encode($expr));
    return $answer->{status} && $answer->{status} eq 'success' ? $answer->{data}{result} : die "$expr: " . ($answer->{error} // 'no answer') . "\n";
}

poll(60, 'Prometheus has both, more than once, and no heartbeat', sub {
    my $up = eval { query('sum(up) == 2 and min(count_over_time(up[1m])) >= 3') };
    return $up && @$up;
});
is(query('sum(sparkngin_events_committed_total)')->[0]{value}[1], $stored, 'it has scraped what was stored');
is(query('sum(sparkngin_feed_delivered_events_total)')->[0]{value}[1], $stored, '  and what was delivered');

my $dashboard = JSON::PP->new->decode(do { open my $in, '<', "$Sparkngin::ROOT/examples/dashboard.json" or die; local $/; <$in> });
my %variable = (instance => '.*', __rate_interval => '1m', __range => '1m');
my @exprs = map { my $panel = $_; map { [$panel->{title}, $_->{expr}] } @{ $panel->{targets} } } @{ $dashboard->{panels} };
cmp_ok(scalar @exprs, '>', 20, 'the dashboard has expressions');
for (@exprs) {
    my ($title, $expr) = @$_;
    $expr =~ s/\$(\w+)/$variable{$1} \/\/ die "$expr: no variable $1\n"/ge;
    my $rows = eval { query($expr) };
    ok($rows && @$rows, "$title: $expr") or diag($@);
}

$t->daemon(name => 'heartbeat', command => [$Sparkngin::PROGRAM, 'heartbeat', '--url', 'http://127.0.0.1:' . $t->port . '/sn/',
    '--kafka', $t->{kafka_address}, '--interval', '1s', '--timeout', '20s', '--http', '127.0.0.1:' . $t->port('heartbeat')]);
poll(60, 'Prometheus has a green heartbeat, too', sub {
    my $up = eval { query('sparkngin_heartbeat_up == 1') };
    return $up && @$up;
});
my %known = map { $_ => 1 } map { $_->{metric}{__name__} } @{ query('group by (__name__) ({__name__=~".+"})') };
# The heartbeat was not there a moment ago, and red.
my @rules = @{ poll(60, 'the rules are evaluated, and none rings while all is well', sub {
    my @all = map { @{ $_->{rules} } } @{ ask('rules')->{data}{groups} // [] };
    return @all && !(grep { $_->{health} ne 'ok' || $_->{state} ne 'inactive' } @all) && \@all;
}) };
is(scalar @rules, 17, 'the alerts are evaluated');
for my $rule (@rules) {
    my @names = $rule->{query} =~ /\b(sparkngin_\w+|up)\b(?=[{\[\s)]|$)/g;
    is_deeply([grep { !$known{$_} } @names], [], "$rule->{name} asks for what there is");
}

# --- Kafka goes away ---

$mock->stop;
$t->post('/sn/log?topic=a', 'waits');
poll(60, 'Prometheus knows that Kafka is away', sub { my $rows = query('sparkngin_kafka_up == 0'); @$rows });
poll(60, 'and the alert is about to ring', sub {
    grep { $_->{name} eq 'SparknginKafkaAway' && $_->{state} ne 'inactive' } map { @{ $_->{rules} } } @{ ask('rules')->{data}{groups} // [] };
});
is(sum('subscriber', 'sparkngin_feed_up'), 1, 'the feed is not');

$t->finish;
