#!/usr/bin/perl
# /status, /stat and /imok: what they show, to whom, and when they are not well.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use Sparkngin;
use Test::More;

my $t = Sparkngin->new(program => 0);

# An address of this machine that is not loopback; nothing is sent to learn it.
my $outside = do {
    my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '192.0.2.1', PeerPort => 9);
    $socket && $socket->sockhost !~ /^127\./ ? $socket->sockhost : undef;
};

# A machine without the network has none: root lends it one, from the range that is for documentation, until the end.
my $lent;
if (!$outside && $> == 0) {
    system('ip', 'address', 'add', '192.0.2.1/32', 'dev', 'lo') == 0 or die "ip address add failed\n";
    $lent = $outside = '192.0.2.1';
}

END {
    my $code = $?;
    system('ip', 'address', 'delete', '192.0.2.1/32', 'dev', 'lo') if $lent;
    $? = $code;
}
my $listen = $outside ? "listen $outside:%%PORT_outside%%;" : '';

my %conf = (
    http => <<'CONF',
        sparkngin_listen %%PORT_live%%;
        sparkngin_buf_path %%DIR%%/ring;
        sparkngin_buf_size 512k;
        sparkngin_subscriber kafka;
        sparkngin_subscriber second;
        sparkngin_max_event 16k;
        log_format what '$sparkngin_status';
CONF
    server => <<"CONF",
        listen unix:%%DIR%%/http.sock;
        $listen
        set_real_ip_from 0.0.0.0/0;
        real_ip_header X-Real-IP;
        access_log %%DIR%%/access.log what;
        location = /open/status { sparkngin_root_loc; }
        location = /closed/status { deny all; sparkngin_root_loc; }
        location = /some/status { allow 203.0.113.0/24; deny all; sparkngin_root_loc; }
        location = /tagged/status { if (\$arg_tag) { add_header Tagged yes; } sparkngin_root_loc; }
        location ~ /./stat\$ { sparkngin_root_loc; }
        location = /stat { try_files /none \@stat; }
        location \@stat { sparkngin_root_loc; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->conf(%conf);
$t->start->ready;

# What it shows.
my $answer = $t->get('/sn/status');
is($answer->{status}, 200, '/status');
is($answer->{headers}{'content-type'}, 'application/json', 'is JSON');
is($answer->{headers}{'cache-control'}, 'no-store', 'that nobody keeps');
$t->post('/sn/log?topic=secret-topic', 'x' x 100) for 1 .. 7;
poll(5, 'the publisher has written its configuration down', sub { ($t->status->{ring}{policy} // '') eq 'reject' });
my $status = $t->status;
my $keys = sub { join ' ', sort keys %{ $_[0] } };
is($keys->($status), 'access left_alone live older publisher recent refused ring server sparkngin subscribers workers wrong', 'the object');
is($keys->($status->{ring}), 'block_bytes blocks bytes committed heartbeats poisoned policy readable region streams syncs_refused writers', 'the ring');
is($keys->($status->{publisher}), 'epoch feed_deaf_ms last_turn_ms present process', 'the publisher');
is($status->{ring}{committed}, 7, 'what was committed');
is($status->{ring}{blocks}{total}, 8, 'its blocks');
is($status->{ring}{writers}, 2, 'its writers, the two workers');
is($status->{ring}{block_bytes}, 65536, 'of 64k');
like($status->{server}, qr{^nginx/\d+\.\d+\.\d+$}, 'the server');
is_deeply([map { $_->{name} } @{ $status->{subscribers} }], ['kafka', 'second'], 'the subscribers');
for my $sub (@{ $status->{subscribers} }) {
    is($sub->{committed}, $sub->{in_kafka} + $sub->{in_ring} + $sub->{lost} + $sub->{dead_lettered} + $sub->{uncertain}, "the books of $sub->{name} close");
    is($sub->{in_ring}, 7, '  nothing has been taken');
}
my $text = $t->get('/sn/status')->{body};
unlike($text, qr/secret-topic|feed\.sock|\/tmp|127\.0\.0\.1|\.sock/, 'no topic, no path, no address');
is($keys->(JSON::PP->new->decode($t->get('/sn/stat')->{body})), $keys->($status), '/stat is the same');
is(scalar(grep { $t->status->{ring}{committed} == 7 } 1 .. 20), 20, 'whichever worker answers');

# Who writes, and who leaves.
sub publishing { my ($status) = @_; return grep { $_->{publishes} } @{ $status->{workers} } }
{
    $status = poll(5, 'one of them publishes', sub { my $status = $t->status; publishing($status) && $status });
    my %worker = map { $_->{process} => $_ } @{ $status->{workers} };
    is(join(' ', sort keys %worker), join(' ', sort $t->workers), 'the workers, by their processes');
    is($keys->($_), 'leaving_ms process publishes ring since_ms stored stream', "  worker $_->{process}") for values %worker;
    is(join(' ', map { $_->{process} } publishing($status)), $status->{publisher}{process}, '  one of which publishes');
    my $stored = 0;
    $stored += $_->{stored} for values %worker;
    is($stored, 7, '  they have stored all that there is');
    is(scalar(grep { defined $_->{leaving_ms} } values %worker), 0, '  and stay');
    my $held = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port) or die "connect: $!";
    print {$held} "POST /sn/log?topic=a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    like(scalar <$held>, qr/^HTTP\S+ 100 /, 'a request is under way');
    $t->reload(wait => 0);
    my $leaving = poll(20, 'one worker is leaving', sub {
        my @workers = @{ $t->status->{workers} };
        my @leaving = grep { defined $_->{leaving_ms} } @workers;
        return @workers == 3 && @leaving == 1 && $leaving[0];
    });
    ok($worker{ $leaving->{process} } && $leaving->{ring} == 1, 'over a reload it is one of those before');
    is($t->status->{ring}{writers}, 3, '  besides the new ones');
    # If it published, it hands that over in a moment.
    my $row = qr{<tr><th scope="row">process $leaving->{process}</th><td>leaving for [^<]+</td><td>no</td><td>ring\.1, stream $leaving->{stream}</td>};
    my $page = '';
    ok(poll(20, 'the page says so', sub { ($page = $t->get('/sn/status', headers => [Accept => 'text/html'])->{body}) =~ $row }), '  as the page says');
    is(scalar(() = $page =~ m{<th scope="row">process \d+</th><td>active for [^<]+</td>}g), 2, '  of the others, too');
    close $held;
    poll(20, 'it has left', sub { @{ $t->status->{workers} } == 2 });
    poll(20, 'a new one publishes', sub { my ($one) = publishing($t->status); $one && !$worker{ $one->{process} } });
}

# To whom.
is($t->get('/sn/status', headers => ['X-Real-IP' => '203.0.113.9'])->{status}, 200, 'this machine, whatever realip says');
is($t->get('/open/status', headers => ['X-Real-IP' => '203.0.113.9'])->{status}, 200, 'an exact location: whoever it lets in');
is($t->get('/closed/status')->{status}, 403, 'which may be nobody');
is($t->get('/some/status')->{status}, 403, 'or not this one');
is($t->get('/some/status', headers => ['X-Real-IP' => '203.0.113.9'])->{status}, 200, 'but that one');
is($t->get('/x/y/stat', headers => ['X-Real-IP' => '203.0.113.9'])->{status}, 200, 'a regex location: this machine');
is($t->get('/stat', headers => ['X-Real-IP' => '203.0.113.9'])->{status}, 200, 'a named location, too');
is($t->get('/tagged/status?tag=1')->{headers}{tagged}, 'yes', '"if" in an exact location');
{
    my $socket = IO::Socket::UNIX->new(Peer => $t->path('http.sock')) or die "unix: $!";
    is($t->raw("GET /sn/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", socket => $socket)->{status}, 200, 'a unix peer');
}
SKIP: {
    skip 'this machine has no address but loopback', 8 if !$outside;
    my %from = (port => $t->port('outside'), host => $outside);
    my $answer = $t->get('/sn/status', %from);
    is($answer->{status}, 403, "a peer at $outside");
    is_deeply(JSON::PP->new->decode($answer->{body}), { error => 'the status is for this machine, unless it has an exact location', field => undef }, '  is told why');
    is($t->get('/sn/status', %from, headers => ['X-Real-IP' => '127.0.0.1'])->{status}, 403, '  also when it says that it is this machine');
    is($t->get('/open/status', %from)->{status}, 200, '  but an exact location lets it in');
    is($t->get('/tagged/status?tag=1', %from)->{status}, 200, '  also inside "if"');
    is($t->get('/x/y/stat', %from)->{status}, 403, '  a regex location does not');
    is($t->get('/stat', %from)->{status}, 403, '  nor a named one');
    is($t->get('/sn/imok', %from)->{status}, 200, '  and the health is for everybody');
}

# The health.
sub health { my $answer = $t->get('/sn/imok'); return "$answer->{status} $answer->{body}" }
is(health(), qq(200 imok\naway: subscriber "kafka", subscriber "second"\n), 'who is away');
{
    # Four of these fit a block. Two of the eight may be those of workers that left, with hardly anything in them: the new ones have others.
    my ($stored, $refused) = (0, 0);
    for (1 .. 80) {
        my $answer = $t->post('/sn/log?topic=a', 'x' x 16_000);
        if ($answer->{status} == 204) { $stored++ }
        elsif ($answer->{status} == 503) {
            $refused++;
            is_deeply(JSON::PP->new->decode($answer->{body}), { error => 'the ring is full', field => undef }, 'a full ring says so, not who holds it') if $refused == 1;
            is($answer->{headers}{'retry-after'}, 1, '  and when to come again') if $refused == 1;
        }
    }
    is($stored + $refused, 80, 'each is answered');
    cmp_ok($stored, '>=', 6 * 4, 'what fits is taken');
    my $health = poll(5, 'neither worker has room', sub { my $all = ""; $all .= health() for my @ten = 1 .. 10; $all !~ /imok/ && health() });
    like($health, qr/^503 the ring is full, held by "(?:kafka|second)"(?: for \d+ s)?\n$/, 'the health names who holds it');
    $t->logged(qr/\[warn\] .*sparkngin: \d+ events? refused: the ring is full, held by "(?:kafka|second)"/);
    my $status = $t->status;
    is($status->{ring}{committed}, 7 + $stored, 'the status counts what was stored, no more');
    is($status->{ring}{blocks}{free}, 0, 'and no free block');
    my $refusals = () = $t->read_file('access.log') =~ /^full$/mg;
    is($refusals, $refused, '$sparkngin_status of each refusal');
    my $told = 0;
    poll(5, 'error.log has counted all', sub {
        $told = 0;
        $told += $_ for $t->error_log =~ /(\d+) events? refused: the ring is full/g;
        return $told >= $refused;
    });
    is($told, $refused, 'error.log counts each');
}
$t->stop;

# A publisher that is not there: somebody else has the lease.
{
    $t->conf(%conf, http => $conf{http} =~ s/ring;/held;/r);
    my ($code) = $t->check;
    sysopen my $lock, $t->path('held/lock'), O_RDWR | O_CREAT, 0600 or die "lock: $!";
    chown +(stat $t->path('held'))[4, 5], $t->path('held/lock');
    my $whole = pack('s s x4 q q l x4', 1, 0, 0, 1, 0);
    fcntl $lock, 37, $whole or die "F_OFD_SETLK: $!";
    $t->start->ready;
    is(health(), "200 imok\naway: publisher\n", 'the publisher is away');
    is($t->get('/sn/log?topic=a')->{status}, 204, 'events are taken');
    close $lock;
    poll(5, 'the publisher is there', sub { health() !~ /publisher/ });
    is(health(), qq(200 imok\naway: subscriber "kafka", subscriber "second"\n), 'until it is back');
}

$t->finish;
