#!/usr/bin/perl
# /status for people: a page in a real Chromium, with scripts and without, that says the same as the JSON, and at its top
# what is wrong. SCREENSHOTS=directory leaves pictures there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA 'sha256_base64';
use Encode 'decode_utf8';
use IO::Socket::INET;
use JSON::PP;
use Sparkngin::Spine;
use Test::More;

my ($chromium) = grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH};
die "no chromium: run `make deps` first\n" if !$chromium;

my $t = Sparkngin::Spine->new(kafka => 0, start => 0, buf_size => '1m', http => 'log_format looks "$uri";', location => 'access_log %%DIR%%/access.log looks;');
mkdir $t->path('profile');
$t->{kafka_address} = '127.0.0.1:' . $t->port('mock');
my $mock;

sub kafka {
    $mock = $t->daemon(name => 'mock', command => [$Sparkngin::PROGRAM, 'mock-kafka', '--port', $t->port('mock'), '--topic', 'a', '--topic', 'sparkngin.dead']);
    poll(20, 'the mock answers', sub { IO::Socket::INET->new(PeerAddr => $t->{kafka_address}) });
}

sub page { return $t->get('/sn/status', headers => [Accept => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8']) }
sub verdict { my ($text) = page()->{body} =~ m{<p id="verdict"[^>]*>(.*?)</p>}s; return $text // 'no verdict' }
my $url = 'http://127.0.0.1:' . $t->port . '/sn/status';

my @browser = ($chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--hide-scrollbars', '--enable-logging=stderr', '--user-data-dir=' . $t->path('profile'));
my %home = (env => { HOME => $t->path('profile') });

sub browse {
    my (@options) = @_;
    my ($code, $text) = $t->run({ seconds => 120, %home }, @browser, @options, $url);
    return $text;
}

sub picture {
    my ($name, $size, @options) = @_;
    my $dir = $ENV{SCREENSHOTS} or return;
    browse("--window-size=$size", "--screenshot=$dir/status-$name.png", @options);
}

$t->start->ready;

# --- who gets what ---

my %kind = (
    'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' => 'html', 'TEXT/HTML' => 'html', 'text/html;q=0.5, application/json;q=0.4' => 'html',
    '*/*' => 'json', 'application/json' => 'json', '' => 'json', 'text/html;q=0' => 'json', 'application/json, text/html;q=0.9' => 'json', 'text/htmlx' => 'json',
);
for my $accept (sort keys %kind) {
    my $answer = $t->get('/sn/status', headers => [Accept => $accept]);
    like($answer->{headers}{'content-type'}, qr/$kind{$accept}/, "Accept: $accept gets $kind{$accept}");
}
is(JSON::PP->new->decode($t->get('/sn/status')->{body})->{wrong}[0], 'Subscriber "kafka" is away.', 'JSON says what is wrong, too');

# --- a page by itself, under a policy that lets nothing else run ---

my $answer = page();
is($answer->{status}, 200, 'the page');
is_deeply([@{ $answer->{headers} }{qw(cache-control vary x-content-type-options)}], ['no-store', 'Accept', 'nosniff'], '  that nobody keeps');
my $policy = $answer->{headers}{'content-security-policy'};
like($policy, qr/^default-src 'none';/, '  with a policy that forbids all');
unlike($policy, qr/unsafe|\*|http/, '  and has no hole');
for my $part (qw(style script)) {
    my ($text) = $answer->{body} =~ m{<$part>(.*?)</$part>}s;
    my $hash = sha256_base64($text);
    $hash .= '=' while length($hash) % 4;
    like($policy, qr/$part-src 'sha256-\Q$hash\E'/, "  but this $part");
}
unlike($answer->{body}, qr/\b(?:src|href|on[a-z]+|style)=/, '  nothing comes from elsewhere, nothing is in attributes');
like($answer->{body}, qr{<html lang="en">.*<title>look: Sparkngin</title>.*role="status".*<main.*<svg[^>]*role="img" aria-label="In, a second}s, '  it can be heard');
unlike($answer->{body}, qr/\Q$t->{dir}\E|127\.0\.0\.1|\.sock/, '  no path, no address');
is(verdict(), 'Subscriber &quot;kafka&quot; is away.', 'what is wrong stands at the top');

# --- quiet, then busy ---

kafka();
$t->subscribe('--dead-letter', 'topic:sparkngin.dead');
$t->attached;
poll(20, 'all is well', sub { verdict() eq 'All is well.' });
poll(30, 'two ticks', sub { $t->status->{recent}{seconds} >= 6 });
picture('quiet', '1000,1700');
is($t->status->{recent}{taken}, 0, 'nothing came yet');
my $sent = 0;
my $until = time + 14;
while (time < $until) { $sent += $t->post('/sn/log?topic=a', 'x' x 200)->{status} == 204 for 1 .. 40 }
poll(30, 'the ticks have all of them', sub { $t->status->{recent}{taken} == $sent });
poll(30, 'delivered, too', sub { $t->status->{recent}{in_kafka}{kafka} == $sent });
cmp_ok($t->status->{recent}{taken_per_second}, '>', 0, 'there is a rate');
poll(20, 'and how long each of them took', sub { $t->books->{took}{spread}{events} == $sent });
my $dom = decode_utf8(browse('--virtual-time-budget=5000', '--dump-dom'));
like($dom, qr{id="verdict"[^>]*>All is well\.<}, 'in a browser all is well');
my $stored = join ',', grep { length } reverse map { scalar reverse } (reverse $sent) =~ /(\d{1,3})/g;
like($dom, qr{<h2>The books</h2>.*<th scope="row">kafka</th><td>\Q$stored\E</td><td>\Q$stored\E</td>}s, '  and the books are there');
like($dom, qr{<figure class="spread"><figcaption>kafka, since it began: <b>\Q$stored\E events, .*role="img" aria-label="kafka, how long events took since it began: \Q$stored\E events}s, '  and how long each event took, as bars');
unlike($dom, qr/Refused to|Content Security Policy/, '  the policy refuses nothing of it');
my $looks = () = $t->read_file('access.log') =~ m{^/sn/status$}mg;
my $open = $t->daemon(name => 'chromium', foreign => 1, %home, command => [@browser, '--blink-settings=scriptEnabled=false', '--remote-debugging-port=' . $t->port('chromium'), $url]);
poll(90, 'without scripts it comes anew by itself', sub { my $after = () = $t->read_file('access.log') =~ m{^/sn/status$}mg; $after - $looks >= 2 });
like($t->get('/json', port => $t->port('chromium'), headers => [Host => 'localhost'])->{body}, qr/"title": "well: Sparkngin"/, 'without scripts it is there, and comes anew');
$open->stop;
if ($ENV{SCREENSHOTS}) {
    $t->daemon(name => 'wrk', foreign => 1, command => ['wrk', '-t1', '-c2', '-d20s', 'http://127.0.0.1:' . $t->port . '/sn/log?topic=a&data=busy']);
    poll(30, 'it is busy', sub { $t->status->{recent}{taken} > $sent + 5000 });
}
picture('busy', '1000,1700');
picture('busy-dark', '1000,1700', '--force-dark-mode', '--blink-settings=preferredColorScheme=0');
picture('phone', '500,2050');

# --- Kafka goes away ---

poll(60, 'nothing is under way', sub { my $books = $t->books; $books->{in_ring} == 0 && $books->{last_ack_ms} > 1000 }) if $ENV{SCREENSHOTS};
$mock->kill9;
$t->{killed}{ $mock->pid } = 1;
is($t->post('/sn/log?topic=a', 'waits')->{status}, 204, 'an event while Kafka is away');
poll(60, 'the page says who does not get through', sub { verdict() =~ /^Subscriber &quot;kafka&quot; acknowledges nothing: look at its Kafka; 1 event waits, for \d+ s\.$/ });
picture('kafka-away', '1000,1700');

# --- and the ring is full ---

# Each worker has room as long as its own block has.
poll(60, 'neither worker has room', sub {
    $t->post('/sn/log?topic=a', 'x' x 16_000) for 1 .. 10;
    return 10 == grep { verdict() =~ /full/ } 1 .. 10;
});
like(verdict(), qr/^Events are refused: the ring is full, held by &quot;kafka&quot;/, 'then that it is full');
like(page()->{body}, qr{<title>bad: Sparkngin</title>}, '  also in the title');
poll(30, 'the refusals are in the ticks', sub { $t->status->{recent}{refused} > 0 });
picture('ring-full', '1000,1700');

$t->finish;
