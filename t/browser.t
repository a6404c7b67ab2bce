#!/usr/bin/perl
# A real browser, Chromium, sends from pages of another origin: by examples/sparkngin.js (fetch, again after 503, beacon when
# the page ends, pixel without fetch), and by scripts that ask for more than a simple request may: with a preflight, with
# credentials, and from an origin that is not listed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my ($chromium) = grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH};
die "no chromium: run `make deps` first\n" if !$chromium;
my $t = Sparkngin->new(program => 0);
mkdir $t->path($_) for qw(www profile);
chmod 0755, $t->path('www');
cmp_ok(-s "$Sparkngin::ROOT/examples/sparkngin.js", '<', 2048, 'the script has less than 2 KB');
$t->write_file('www/sparkngin.js', do { open my $in, '<', "$Sparkngin::ROOT/examples/sparkngin.js" or die; local $/; <$in> }, 0644);
$t->conf(
    # The pages, on a host and a port of their own.
    http => Sparkngin::Tap::conf() . ' sparkngin_receipt on; server { listen 127.0.0.1:%%PORT_pages%%; root %%DIR%%/www; }',
    server => <<'CONF',
        location /cred/ { sparkngin_root_loc; sparkngin_cors http://pages.localhost:%%PORT_pages%% credentials; }
        location /closed/ { sparkngin_root_loc; sparkngin_cors http://other.localhost; }
CONF
    location => 'sparkngin_root_loc; sparkngin_cors http://pages.localhost:%%PORT_pages%%;',
);
my $events = 'events.localhost:' . $t->port;
my $pages = 'pages.localhost:' . $t->port('pages');

sub page {
    my ($name, $script, $path) = @_;
    my $source = defined $path ? qq(<script src="/sparkngin.js" data-to="http://$events$path"></script>) : '';
    return $t->write_file("www/$name.html", "<!doctype html><title>$name</title><body><p id=out>nothing</p>$source<script>\n"
        . "function say(text) { document.getElementById('out').textContent = text; }\n$script\n</script>", 0644);
}

# What a page shows in the end.
sub browse {
    my ($name, $ms) = @_;
    my ($code, $dom) = $t->run({ seconds => 120, env => { HOME => $t->path('profile') } }, $chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--user-data-dir=' . $t->path('profile'), '--host-resolver-rules=MAP *.localhost 127.0.0.1', '--virtual-time-budget=' . ($ms // 5000), '--dump-dom', "http://$pages/$name.html");
    my ($out) = $dom =~ /<p id="out">(.*?)<\/p>/s;
    return $out // "no page: $dom";
}

$t->start;
poll(20, 'sparkngin is ready', sub { $t->get('/sn/imok')->{status} == 200 });
my $tap = Sparkngin::Tap->new($t);
my $wants = sub {
    my ($count, @ids) = @_;
    my %e = map { ($_->{id} // '') => $_ } $tap->events($count, 60);
    return map { $e{$_} // {} } @ids;
};
my $sent = 0;

page('script', "sparkngin({ id: 's1', type: 'click', page: 'caf\\u00e9' }); sparkngin({ id: 's2' }); sparkngin({ type: 'own' }); say('sent');", '/sn/log/clicks');
is(browse('script'), 'sent', 'the script: three events by fetch');
$sent += 3;
my ($s1, $s2) = $wants->($sent, qw(s1 s2));
is_deeply([@{$s1}{qw(topic type)}, $s1->{data}{page}, $s2->{topic}], ['clicks', 'click', "caf\x{e9}", 'clicks'], '  are there');
is((grep { ($_->{type} // '') eq 'own' && length($_->{id}) > 10 } $tap->events($sent)) + 0, 1, '  and who has no id gets one');

page('end', "say('ended');");
page('beacon', "sparkngin({ id: 'b1' }); sparkngin({ id: 'b2' }); location.replace('/end.html');", '/sn/log/left');
is(browse('beacon'), 'ended', 'a page that ends at once');
$sent += 2;
is(join(' ', map { $_->{topic} } $wants->($sent, qw(b1 b2))), 'left left', '  has its events sent by beacon');

page('pixel', "window.fetch = undefined; sparkngin({ id: 'p1', a: '&=\"' }); say('sent');", '/sn/log/old');
is(browse('pixel'), 'sent', 'a browser without fetch');
$sent += 1;
my ($p1) = $wants->($sent, 'p1');
is_deeply([$p1->{topic}, JSON::PP->new->decode($p1->{data})->{a}], ['old', '&="'], '  sends by the pixel');

# The browser is told twice that there is no room, and once that nobody is there.
page('again', <<'SCRIPT', '/sn/log/again');
var answers = [{ status: 503 }, { status: 503 }, null], real = window.fetch;
window.fetch = function (to, what) {
    if (!answers.length) return real(to, what);
    var answer = answers.shift();
    return answer ? Promise.resolve(answer) : Promise.reject(new Error('nobody'));
};
sparkngin({ id: 'r1' });
setTimeout(function () { say('left ' + answers.length); }, 20000);
SCRIPT
is(browse('again', 30_000), 'left 0', 'a server that answers 503, or not at all');
$sent += 1;
is(($wants->($sent, 'r1'))[0]{topic}, 'again', '  gets the event in the end');

# What needs a preflight.
my $fetch = sub {
    my ($path, $more) = @_;
    return "fetch('http://$events$path', { method: 'POST', body: '{}', $more }).then(function (a) { say(a.status + ' ' + a.headers.get('Sparkngin-Receipt')); }, function () { say('refused'); });";
};
my $json = q(headers: { 'Content-Type': 'application/json', 'Sparkngin-Header-Trace': 'x' });
my @rows = (
    ['json', '/sn/log/json?id=j1', $json, qr/^204 [0-9a-f]{32}-\d+-\d+; ack=ring$/, 'JSON and a Kafka header, after a preflight: the receipt can be read', 1],
    ['header', '/sn/log/json?id=j2', q(headers: { 'X-Other': 'x' }), qr/^refused$/, 'a header that means nothing', 0],
    ['closed', '/closed/log/json?id=j3', $json, qr/^refused$/, 'an origin that is not listed', 0],
    ['simple', '/closed/log/json?id=j4', '', qr/^refused$/, 'which may send without a preflight, but read nothing', 1],
    ['cred', '/cred/log/json?id=j5', q(credentials: 'include', ) . $json, qr/^204 /, 'with credentials', 1],
    ['nocred', '/sn/log/json?id=j6', q(credentials: 'include', ) . $json, qr/^refused$/, 'where they are not let in', 0],
);
for my $row (@rows) {
    my ($name, $path, $more, $want, $what, $stored) = @$row;
    page($name, $fetch->($path, $more));
    like(browse($name), $want, $what);
    $sent += $stored;
}
my %e = map { ($_->{id} // '') => $_ } $tap->events($sent, 60);
is(join(' ', grep { $e{$_} } map "j$_", 1 .. 6), 'j1 j4 j5', 'and that is what is stored');

$t->finish;
